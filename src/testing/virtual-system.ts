/** The system calls of a virtual process: the seam of the library, answered by the kernel in memory. */

import type { Abi } from "../core/abis.ts";
import type { FdDescription } from "../node/describe.ts";
import type { SocketType } from "../node/socket-kind.ts";
import {
  type Constants,
  OUT,
  POLLIN,
  POLLOUT,
  type System,
  type Timer,
  type Watched,
  type Watcher,
} from "../node/system.ts";
import {
  type Descriptor,
  discard,
  isCarrier,
  OpenFile,
  type Segment,
  type Sender,
  Socket,
  unreference,
} from "./files.ts";
import type { Fault, VirtualProcess } from "./kernel.ts";
import { ControlWriter, type ErrnoName, errnoOf, inFlightRefusal, readSent } from "./rules.ts";

/** Numbers that no row of the table has: any will do, as nobody but the library sees them. */
const CONSTANTS = {
  AF_UNIX: 1,
  AF_INET: 2,
  AF_INET6: 30,
  SOL_LOCAL: 0,
  SO_TYPE: 0x10001,
  SO_ACCEPTCONN: 0x10002,
  SO_ERROR: 0x10003,
  LOCAL_PEERCRED: 0x10004,
  LOCAL_PEERPID: 0x10005,
  LOCAL_PEEREID: 0x10006,
  F_GETFD: 1,
  F_SETFD: 2,
  F_GETFL: 3,
  F_SETFL: 4,
  FD_CLOEXEC: 1,
  O_ACCMODE: 3,
  O_WRONLY: 1,
  O_RDWR: 2,
  O_NONBLOCK: 0x800,
  POLLHUP: 16,
} as const;
const POLLERR = 8;
const POLLNVAL = 32;
const POLLRDHUP = 0x2000;

/** Which of them a system has. */
function constantsOf({ os }: Abi): Constants {
  const { LOCAL_PEERCRED, LOCAL_PEERPID, LOCAL_PEEREID, ...common } = CONSTANTS;
  switch (os) {
    case "linux":
      return { ...common, POLLRDHUP };
    case "darwin":
      return { ...common, LOCAL_PEERCRED, LOCAL_PEERPID };
    case "freebsd":
    case "dragonfly":
      return { ...common, LOCAL_PEERCRED };
    case "netbsd":
      return { ...common, LOCAL_PEEREID };
    default:
      return common;
  }
}

const TYPES: readonly SocketType[] = ["stream", "dgram", "seqpacket"];
/** Signals in a row at one call. */
const SIGNAL_LIMIT = 1000;
const NO_BYTES: Uint8Array = new Uint8Array(0);

/** @internal */
export class VirtualSystem implements System {
  readonly constants: Constants;
  readonly out: Int32Array = new Int32Array(4);
  readonly batch: Int32Array = new Int32Array(256);
  readonly address: Uint8Array;
  readonly #process: VirtualProcess;
  readonly #abi: Abi;
  #control: Uint8Array = NO_BYTES;

  constructor(process: VirtualProcess) {
    this.#process = process;
    this.#abi = process.kernel.abi;
    this.constants = constantsOf(this.#abi);
    // sun_path: 108 bytes on Linux and illumos, 104 on Darwin and the BSDs.
    this.address = new Uint8Array(["linux", "illumos"].includes(this.#abi.os) ? 108 : 104);
  }

  bindControl(memory: ArrayBuffer, offset: number, capacity: number): void {
    this.#control = new Uint8Array(memory, offset, capacity);
  }

  sendmsg(
    fd: number,
    payload: Uint8Array | readonly Uint8Array[],
    offset: number,
    length: number,
    controlLength: number,
    flags: number,
    to: Uint8Array | null,
  ): number {
    const fault = this.#enter("sendmsg", fd);
    if (fault?.errno !== undefined) return errnoOf(fault.errno);
    const socket = this.#socket(fd, "sent on");
    if (typeof socket === "number") return socket;
    const bytes = bytesOf(payload, offset, length);
    const result = this.#send(socket, bytes, controlLength, to, fault);
    if (typeof result === "number") {
      this.#process.kernel.progressed();
      return result;
    }
    if (result === "EPIPE" && !this.#mutesSigpipe(flags)) this.#violate("was killed by SIGPIPE");
    if (result === "EAGAIN" && !this.#neverBlocks(socket, flags, true)) this.#violate("waited in sendmsg");
    return errnoOf(result);
  }

  #send(
    socket: Socket,
    bytes: Uint8Array,
    controlLength: number,
    to: Uint8Array | null,
    fault: Fault | null,
  ): number | ErrnoName {
    const abi = this.#abi;
    const { pid, uid, gid, table } = this.#process;
    if (socket.type === "seqpacket" && socket.error !== 0) return this.#takeError(socket);
    const sent = readSent(abi, this.#control.subarray(0, controlLength), {
      isOpen: (number) => table[number] !== undefined,
      mayClaim: (claimed) => uid === 0 || (claimed.pid === pid && claimed.uid === uid && claimed.gid === gid),
    });
    if (typeof sent === "string") return sent;
    const files = sent.rights.map((numbers) => numbers.map((number) => table[number]!.file));
    // Who can be told of gets a name (Linux, unix_autobind).
    if (socket.type !== "stream" && socket.path === null && this.#tellsSender(socket)) this.#bind(socket, NO_BYTES);
    if (socket.type !== "stream" && socket.error !== 0) return this.#takeError(socket);
    if (socket.shutWrite) return "EPIPE";
    const peer = to === null ? socket.peer : this.#find(to, socket.type);
    if (typeof peer === "string") return peer;
    if (peer === null && socket.peerOwner === null) return "ENOTCONN";
    if (socket.error !== 0) return this.#takeError(socket);
    const count = files.reduce((sum, group) => sum + group.length, 0);
    if (count > 0) {
      const { kernel, limit: descriptors } = this.#process;
      const inFlight = {
        ...kernel.inFlightOf(uid),
        descriptors: uid === 0 ? Infinity : descriptors,
        files: kernel.files,
      };
      const refused = inFlightRefusal(abi, count, inFlight);
      if (refused !== null) return refused;
    }
    if (socket.type === "dgram" && peer !== null && !this.#maySend(socket, peer)) return "EPERM";
    if (peer !== null && peer.references === 0 && socket.type === "dgram") {
      // Said once; then it is not connected any more.
      socket.peer = null;
      socket.peerOwner = null;
      // What had come goes too (Linux, unix_dgram_disconnected).
      for (const segment of socket.queue.splice(0)) discard(segment);
      return "ECONNREFUSED";
    }
    if (peer === null) return "EPIPE";
    if (peer.shutRead) return "EPIPE";
    if (files.length > 0 && this.#option(peer, abi.SO_PASSRIGHTS, 1) === 0) return "EPERM";

    const accepted = this.#room(socket, peer, bytes.length, controlLength);
    if (typeof accepted === "string") return accepted;
    const taken = Math.min(
      accepted,
      socket.type === "stream" ? Math.max(1, fault?.short ?? Infinity) : Infinity,
      bytes.length,
    );
    // Nothing carries them (Linux): they are gone, in silence.
    if (socket.type === "stream" && bytes.length === 0 && (abi.emptyStreamRights === "dropped" || files.length === 0))
      return 0;
    for (const group of files) for (const file of group) file.references++;
    // What is sent to somebody who is not accepted yet says who sent it, whoever asked (Linux, maybe_add_creds).
    const passes =
      sent.credentials !== null || this.#tellsSender(socket) || this.#tellsSender(peer) || peer.peerNotAccepted;
    const segment: Segment = {
      bytes: bytes.slice(0, taken),
      taken: 0,
      rights: files.length > 0 ? files : null,
      credentialsAt: sent.credentialsAt,
      sender: passes || sent.credentialsAt !== null ? (sent.credentials ?? this.#process.sender) : null,
      owner: this.#process.sender,
      from: socket,
    };
    if (segment.rights !== null) this.#process.kernel.inFlight.add(segment);
    peer.queue.push(segment);
    return taken;
  }

  /** A socket that is connected takes datagrams of its peer only (Linux, unix_may_send). */
  #maySend(socket: Socket, peer: Socket): boolean {
    return this.#abi.os !== "linux" || peer.peer === null || peer.peer === socket;
  }

  /** Bytes that the receiver takes now. */
  #room(socket: Socket, peer: Socket, bytes: number, control: number): number | ErrnoName {
    const abi = this.#abi;
    const { bufferBytes } = this.#process.kernel;
    const left = bufferBytes - peer.queuedBytes;
    // Its limit for control data shrinks with what is unread (libuv #1739).
    if (abi.truncation === "xnu" && control > 0 && control > left) return "EMSGSIZE";
    if (socket.type === "stream") return left <= 0 && bytes > 0 ? "EAGAIN" : left;
    if (bytes > bufferBytes) return "EMSGSIZE";
    if (!this.#isFull(socket, peer, bytes)) return bytes;
    return socket.type === "dgram" ? abi.datagramFullErrno : "EAGAIN";
  }

  /** Whether a message of so many bytes has to wait for the receiver. */
  #isFull(socket: Socket, peer: Socket, bytes: number): boolean {
    const { bufferBytes, bufferMessages } = this.#process.kernel;
    const left = bufferBytes - peer.queuedBytes;
    if (socket.type === "stream") return left <= 0;
    // Two that are connected with each other are limited by the sender's buffer alone (Linux, unix_dgram_sendmsg).
    const counts = this.#abi.os !== "linux" || peer.peer !== socket;
    return bytes > left || (counts && peer.queue.length >= bufferMessages);
  }

  #takeError(socket: Socket): ErrnoName {
    const { error } = socket;
    socket.error = 0;
    return error === -errnoOf("ECONNRESET") ? "ECONNRESET" : "EIO";
  }

  recvmsg(
    fd: number,
    payload: Uint8Array | readonly Uint8Array[],
    offset: number,
    length: number,
    controlCapacity: number,
    flags: number,
    wantAddress: boolean,
  ): number {
    const { out } = this;
    out[OUT.CONTROL_LENGTH] = 0;
    out[OUT.FLAGS] = 0;
    out[OUT.ADDRESS_LENGTH] = -1;
    const fault = this.#enter("recvmsg", fd);
    if (fault?.errno !== undefined) return errnoOf(fault.errno);
    const socket = this.#socket(fd, "received from");
    if (typeof socket === "number") return socket;
    const pieces = piecesOf(payload, offset, length);
    const writer = new ControlWriter(this.#abi, this.#control.subarray(0, controlCapacity));
    const result = this.#receive(socket, pieces, writer, flags, fault, wantAddress);
    if (typeof result === "string") {
      if (result === "EAGAIN" && !this.#neverBlocks(socket, flags, false)) this.#violate("waited in recvmsg");
      return errnoOf(result);
    }
    if (writer.truncated && this.#abi.truncation !== "dragonfly") out[OUT.FLAGS]! |= this.#abi.MSG_CTRUNC;
    out[OUT.FLAGS]! |= this.#echoed(flags);
    out[OUT.CONTROL_LENGTH] = writer.length;
    out[OUT.UNSETTLED] = writer.length;
    if ((flags & this.#abi.MSG_PEEK) === 0) this.#process.kernel.progressed();
    return result;
  }

  #receive(
    socket: Socket,
    pieces: readonly Uint8Array[],
    writer: ControlWriter,
    flags: number,
    fault: Fault | null,
    wantAddress: boolean,
  ): number | ErrnoName {
    const abi = this.#abi;
    // A reset comes before what is left of messages, and behind what is left of a stream.
    if (socket.type !== "stream" && socket.error !== 0) return this.#takeError(socket);
    const first = socket.queue[0];
    if (first === undefined) {
      if (socket.error !== 0) return this.#takeError(socket);
      if (socket.type === "dgram" || !socket.ended) {
        const unconnected = socket.type !== "dgram" && socket.peerOwner === null;
        return unconnected ? (abi.os === "linux" && socket.type === "stream" ? "EINVAL" : "ENOTCONN") : "EAGAIN";
      }
      // It looks like root: pid 0, uid 0 (Linux, on a stream).
      if (socket.type === "stream" && this.#option(socket, abi.SO_PASSCRED, 0) !== 0)
        writer.put(abi.SCM_CREDENTIALS!, ControlWriter.int(abi, 0, 0, 0));
      if (socket.type === "stream") this.#deliverPidfd(socket, writer, 0, null);
      return 0;
    }
    const peeks = (flags & abi.MSG_PEEK) !== 0;
    const capacity = pieces.reduce((sum, { length }) => sum + length, 0);
    const most = socket.type === "stream" ? Math.min(capacity, Math.max(1, fault?.short ?? Infinity)) : capacity;
    const taken: Segment[] = this.#segments(socket, most, peeks);
    // On Linux plain bytes are glued in front of those that carry descriptors; elsewhere they come first.
    const carrier = taken.find(isCarrier) ?? first;
    const result = this.#deliver(socket, carrier, writer, flags, fault);
    if (result !== null) return result;
    let copied = 0;
    for (const segment of taken) {
      const chunk = segment.bytes.subarray(segment.taken, segment.taken + most - copied);
      scatter(pieces, copied, chunk);
      copied += chunk.length;
      if (!peeks) segment.taken += chunk.length;
    }
    // Linux names the sender of a stream's bytes too.
    if (wantAddress && (socket.type !== "stream" || abi.os === "linux")) this.#leave(first.from.path);
    if (socket.type !== "stream") {
      if (copied < first.bytes.length) this.out[OUT.FLAGS]! |= abi.MSG_TRUNC;
      if (!peeks) socket.queue.shift();
      return copied;
    }
    while (!peeks && socket.queue.length > 0) {
      const { bytes, taken: gone } = socket.queue[0]!;
      if (gone < bytes.length || !taken.includes(socket.queue[0]!)) break;
      socket.queue.shift();
    }
    return copied;
  }

  /** The segments that one receive takes bytes of. */
  #segments(socket: Socket, most: number, peeks: boolean): Segment[] {
    if (socket.type !== "stream") return [socket.queue[0]!];
    const taken: Segment[] = [];
    const breaksAfter = this.#abi.os === "linux";
    const tellsSender = this.#tellsSender(socket);
    let bytes = 0;
    for (const segment of socket.queue) {
      // A peek goes on to what carries descriptors, though it takes no byte of it (Linux, unix_stream_read_generic).
      if (bytes >= most && taken.length > 0 && !(peeks && breaksAfter)) break;
      if (taken.length > 0) {
        if (!breaksAfter && isCarrier(segment)) break;
        if (tellsSender && !isSameSender(segment, taken[0]!)) break;
      }
      taken.push(segment);
      bytes += segment.bytes.length - segment.taken;
      if (breaksAfter && segment.rights !== null) break;
    }
    return taken;
  }

  /** Whether the kernel says who sent something. It does not glue what different processes sent then. */
  #tellsSender(socket: Socket): boolean {
    const { SO_PASSCRED, SO_PASSPIDFD } = this.#abi;
    return this.#option(socket, SO_PASSCRED, 0) !== 0 || this.#option(socket, SO_PASSPIDFD, 0) !== 0;
  }

  /** Fills the control buffer; the error of the whole receive. */
  #deliver(
    socket: Socket,
    carrier: Segment,
    writer: ControlWriter,
    flags: number,
    fault: Fault | null,
  ): ErrnoName | null {
    const abi = this.#abi;
    const process = this.#process;
    if (this.#option(socket, abi.SO_PASSCRED, 0) !== 0) {
      const { pid, uid, gid } = carrier.sender ?? { pid: 0, uid: 65534, gid: 65534 };
      writer.put(abi.SCM_CREDENTIALS!, ControlWriter.int(abi, pid, uid, gid));
    }
    const { rights, credentialsAt } = carrier;
    const peeks = (flags & abi.MSG_PEEK) !== 0;
    const keeps = peeks && abi.peek !== "duplicates";
    if (!peeks) {
      carrier.rights = null;
      carrier.credentialsAt = null;
    }
    const cloexec = abi.MSG_CMSG_CLOEXEC !== null && (flags & abi.MSG_CMSG_CLOEXEC) !== 0;
    let free = Math.min(fault?.room ?? Infinity, process.free);
    let error: ErrnoName | null = null;
    for (const [at, files] of [...(rights ?? []), null].entries()) {
      if (at === credentialsAt && error === null) writer.told(credentialsBytes(abi, carrier.sender!));
      if (files === null) break;
      if (keeps) writer.peeked(files.length);
      else if (error === null) {
        const install = (i: number) => {
          free--;
          return process.install(files[i]!, cloexec);
        };
        error = writer.rights(files.length, free, install, fault?.allowed);
      }
      if (!peeks) for (const file of files) unreference(file);
    }
    if (rights !== null && !peeks) process.kernel.collect();
    if (error !== null) {
      // The descriptors are gone. The bytes of a stream stay; a datagram does not.
      if (socket.type !== "stream" && !peeks) socket.queue.shift();
      return error;
    }
    this.#deliverPidfd(socket, writer, free, carrier.sender);
    return null;
  }

  #deliverPidfd(socket: Socket, writer: ControlWriter, free: number, sender: Sender | null): void {
    const abi = this.#abi;
    if (this.#option(socket, abi.SO_PASSPIDFD, 0) === 0) return;
    // Whether it would have fitted is asked first (net/core/scm.c, scm_pidfd_recv).
    if (writer.room < abi.dataOffset + 4) {
      writer.truncated = true;
      return;
    }
    if (sender === null) return;
    const { pid } = sender;
    const fd = free < 1 ? errnoOf("EMFILE") : this.#process.install(new OpenFile("pidfd", `pid ${pid}`), true);
    writer.put(abi.SCM_PIDFD!, ControlWriter.int(abi, fd));
  }

  /** Input flags that the kernel shows again. */
  #echoed(flags: number): number {
    const { os, MSG_CMSG_CLOEXEC } = this.#abi;
    if (os === "linux") return flags & (MSG_CMSG_CLOEXEC ?? 0);
    return os === "freebsd" || os === "openbsd" || os === "darwin" ? flags : 0;
  }

  own(fd: number): void {
    if (fd >= 0) this.#process.owned.add(fd);
  }

  disown(fd: number): void {
    this.#process.owned.delete(fd);
  }

  close(fd: number): number {
    const fault = this.#enter("close", fd, true);
    const result = this.#close(fd);
    return fault?.errno !== undefined ? errnoOf(fault.errno) : result;
  }

  #close(fd: number): number {
    this.#process.owned.delete(fd);
    if (this.#process.table[fd] === undefined) {
      this.#violate(`closed descriptor ${fd}, which is not open`);
      return errnoOf("EBADF");
    }
    this.#process.remove(fd);
    this.#process.kernel.progressed();
    return 0;
  }

  closeBatch(count: number): number {
    const fault = this.#enter("close", this.batch[0]!, true);
    let first = 0;
    for (let i = 0; i < count; i++) {
      const fd = this.batch[i]!;
      if (fd < 0) continue;
      const result = this.#close(fd);
      if (first === 0) first = result;
    }
    return fault?.errno !== undefined ? errnoOf(fault.errno) : first;
  }

  cloexecBatch(count: number): number {
    const fault = this.#enter("fcntl", this.batch[0]!, true);
    for (let i = 0; i < count; i++) {
      if (fault?.errno !== undefined && i >= (fault.at ?? 0)) return errnoOf(fault.errno);
      const descriptor = this.#process.table[this.batch[i]!];
      if (this.batch[i]! < 0) continue;
      if (descriptor === undefined) return errnoOf("EBADF");
      this.#setCloexec(descriptor, true);
    }
    return 0;
  }

  #setCloexec(descriptor: Descriptor, on: boolean): void {
    if (descriptor.cloexec !== on) this.#process.inheritable += on ? -1 : 1;
    descriptor.cloexec = on;
  }

  fcntl(fd: number, command: number, argument: number): number {
    const fault = this.#enter("fcntl", fd, true);
    if (fault?.errno !== undefined) return errnoOf(fault.errno);
    const descriptor = this.#process.table[fd];
    if (descriptor === undefined) return errnoOf("EBADF");
    switch (command) {
      case CONSTANTS.F_GETFD:
        return descriptor.cloexec ? CONSTANTS.FD_CLOEXEC : 0;
      case CONSTANTS.F_SETFD:
        this.#setCloexec(descriptor, (argument & CONSTANTS.FD_CLOEXEC) !== 0);
        return 0;
      case CONSTANTS.F_GETFL:
        return CONSTANTS.O_RDWR | (descriptor.file.nonblocking ? CONSTANTS.O_NONBLOCK : 0);
      case CONSTANTS.F_SETFL:
        descriptor.file.nonblocking = (argument & CONSTANTS.O_NONBLOCK) !== 0;
        return 0;
      default:
        return errnoOf("EINVAL");
    }
  }

  dup(fd: number): number {
    const fault = this.#enter("fcntl", fd);
    if (fault?.errno !== undefined) return errnoOf(fault.errno);
    const descriptor = this.#process.table[fd];
    if (descriptor === undefined) return errnoOf("EBADF");
    return this.#made(descriptor.file);
  }

  #made(file: OpenFile): number {
    const fd = this.#process.install(file, true);
    if (fd >= 0) this.#process.owned.add(fd);
    return fd;
  }

  describe(fd: number): FdDescription | number {
    const descriptor = this.#process.table[fd];
    if (descriptor === undefined) return errnoOf("EBADF");
    const { file } = descriptor;
    const common = { access: "read-write", nonblocking: file.nonblocking } as const;
    if (!(file instanceof Socket)) return { kind: file.kind, ...common };
    const address = file.path === null ? null : Buffer.from(file.path).toString();
    return {
      kind: "socket",
      ...common,
      socket: { family: "unix", type: file.type, listening: file.backlog !== null, address },
    };
  }

  socketpair(type: number): number {
    const fault = this.#enter("socketpair", -1);
    if (fault?.errno !== undefined) return errnoOf(fault.errno);
    if (this.#process.free < 2) return errnoOf("EMFILE");
    const [a, b] = [this.#newSocket(type), this.#newSocket(type)];
    a.connect(b);
    a.nonblocking = this.#abi.os !== "linux";
    b.nonblocking = a.nonblocking;
    this.out[0] = this.#made(a);
    this.out[1] = this.#made(b);
    return 0;
  }

  socket(type: number): number {
    const fault = this.#enter("socket", -1);
    if (fault?.errno !== undefined) return errnoOf(fault.errno);
    const socket = this.#newSocket(type);
    socket.nonblocking = true;
    return this.#made(socket);
  }

  #newSocket(type: number): Socket {
    const { SOCK_STREAM, SOCK_DGRAM } = this.#abi;
    const name = type === SOCK_STREAM ? "stream" : type === SOCK_DGRAM ? "dgram" : "seqpacket";
    const socket = new Socket(name, this.#process.sender, (gone) => this.#unbind(gone));
    this.#prepare(socket);
    return socket;
  }

  #prepare(socket: Socket): void {
    socket.resetError = -errnoOf("ECONNRESET");
    socket.resetsUnread = this.#abi.os === "linux";
  }

  #unbind(socket: Socket): void {
    const { names } = this.#process.kernel;
    for (const [name, bound] of names) {
      if (bound.socket !== socket) continue;
      // A file stays, and refuses connections; an abstract name goes with its socket.
      if (name.startsWith("\0")) names.delete(name);
      else bound.socket = null;
    }
  }

  connect(fd: number, to: Uint8Array): number {
    const fault = this.#enter("connect", fd);
    if (fault?.errno !== undefined) return errnoOf(fault.errno);
    const socket = this.#socket(fd, "connected");
    if (typeof socket === "number") return socket;
    // Who can be told of gets a name, whatever becomes of it (Linux, unix_autobind).
    if (socket.path === null && this.#tellsSender(socket)) this.#bind(socket, NO_BYTES);
    const target = this.#find(to, socket.type);
    if (typeof target === "string") return errnoOf(target);
    if (socket.type === "dgram") return this.#connectDatagram(socket, target);
    if (socket.peerOwner !== null) return errnoOf("EISCONN");
    if (target.backlog === null) return errnoOf("ECONNREFUSED");
    while (target.backlog.length > target.backlogLimit) {
      if (this.#abi.os !== "linux") return errnoOf("ECONNREFUSED");
      if (socket.nonblocking) return errnoOf("EAGAIN");
      if (!this.#process.kernel.waits(Infinity)) return errnoOf("EDEADLK");
      if (target.references === 0) return errnoOf("ECONNREFUSED");
    }
    const accepted = new Socket(socket.type, target.owner, () => {});
    this.#prepare(accepted);
    accepted.peerNotAccepted = true;
    accepted.path = target.path;
    for (const [name, value] of target.options) accepted.options.set(name, value);
    socket.connect(accepted);
    accepted.references++;
    target.backlog.push(accepted);
    this.#process.kernel.progressed();
    return 0;
  }

  #connectDatagram(socket: Socket, target: Socket): number {
    if (!this.#maySend(socket, target)) return errnoOf("EPERM");
    const before = socket.peer;
    socket.peer = target;
    socket.peerOwner = target.owner;
    // What had come from the peer before goes, and it is told (Linux, unix_dgram_disconnected).
    if (before !== null && before !== target && this.#abi.os === "linux" && socket.queue.length > 0) {
      for (const segment of socket.queue.splice(0)) discard(segment);
      if (before.references > 0 && before.peer === socket) before.error = socket.resetError;
    }
    this.#process.kernel.progressed();
    return 0;
  }

  bind(fd: number, path: Uint8Array): number {
    const fault = this.#enter("bind", fd);
    if (fault?.errno !== undefined) return errnoOf(fault.errno);
    const socket = this.#socket(fd, "bound");
    if (typeof socket === "number") return socket;
    return this.#bind(socket, path) ? 0 : errnoOf("EADDRINUSE");
  }

  #bind(socket: Socket, path: Uint8Array): boolean {
    const { kernel } = this.#process;
    const inode = kernel.nextInode();
    // Linux chooses five hexadecimal digits in the abstract namespace.
    const name = path.length === 0 ? `\0${inode.toString(16).padStart(5, "0")}` : Buffer.from(path).toString("latin1");
    const key = keyOf(name, socket.type);
    if (kernel.names.has(key)) return false;
    kernel.names.set(key, { socket, inode });
    socket.path = Buffer.from(name, "latin1");
    return true;
  }

  /** Who is bound to a path. */
  #find(path: Uint8Array, type: SocketType): Socket | ErrnoName {
    const found = this.#process.kernel.names.get(keyOf(Buffer.from(path).toString("latin1"), type));
    if (found === undefined) return path[0] === 0 ? "ECONNREFUSED" : "ENOENT";
    if (found.socket === null) return "ECONNREFUSED";
    return found.socket.type === type ? found.socket : "EPROTOTYPE";
  }

  socketAt(path: string): string | null {
    const found = this.#process.kernel.names.get(latin1(path));
    return found === undefined ? null : `0:${found.inode}`;
  }

  unlink(path: string): number {
    const fault = this.#enter("unlink", -1);
    if (fault?.errno !== undefined) return errnoOf(fault.errno);
    return this.#process.kernel.names.delete(latin1(path)) ? 0 : errnoOf("ENOENT");
  }

  rename(from: string, to: string): number {
    const fault = this.#enter("rename", -1);
    if (fault?.errno !== undefined) return errnoOf(fault.errno);
    const { names } = this.#process.kernel;
    const found = names.get(latin1(from));
    if (found === undefined) return errnoOf("ENOENT");
    names.delete(latin1(from));
    names.set(latin1(to), found);
    return 0;
  }

  link(from: string, to: string): number {
    const fault = this.#enter("link", -1);
    if (fault?.errno !== undefined) return errnoOf(fault.errno);
    const { names } = this.#process.kernel;
    const found = names.get(latin1(from));
    if (found === undefined) return errnoOf("ENOENT");
    if (names.has(latin1(to))) return errnoOf("EEXIST");
    names.set(latin1(to), found);
    return 0;
  }

  chmod(path: string): number {
    const fault = this.#enter("chmod", -1);
    if (fault?.errno !== undefined) return errnoOf(fault.errno);
    return this.#process.kernel.names.has(latin1(path)) ? 0 : errnoOf("ENOENT");
  }

  listen(fd: number, backlog: number): number {
    const fault = this.#enter("listen", fd);
    if (fault?.errno !== undefined) return errnoOf(fault.errno);
    const socket = this.#socket(fd, "listened on");
    if (typeof socket === "number") return socket;
    if (socket.type === "dgram") return errnoOf("EOPNOTSUPP");
    if (socket.path === null) return errnoOf("EINVAL");
    socket.backlog ??= [];
    socket.backlogLimit = backlog;
    return 0;
  }

  accept(fd: number): number {
    const fault = this.#enter("accept", fd);
    if (fault?.errno !== undefined) return errnoOf(fault.errno);
    const socket = this.#socket(fd, "accepted from");
    if (typeof socket === "number") return socket;
    if (socket.backlog === null) return errnoOf("EINVAL");
    // The number first: without one the connection goes on waiting (Linux, __sys_accept4).
    if (Math.min(fault?.room ?? Infinity, this.#process.free) < 1) return errnoOf("EMFILE");
    const accepted = socket.backlog.shift();
    if (accepted === undefined) return errnoOf("EAGAIN");
    accepted.peerNotAccepted = false;
    accepted.nonblocking = this.#abi.os !== "linux";
    const made = this.#made(accepted);
    accepted.references--;
    this.#process.kernel.progressed();
    return made;
  }

  shutdown(fd: number, how: number): number {
    const fault = this.#enter("shutdown", fd);
    if (fault?.errno !== undefined) return errnoOf(fault.errno);
    const socket = this.#socket(fd, "shut down");
    if (typeof socket === "number") return socket;
    // Linux does not ask (unix_shutdown).
    if (socket.peerOwner === null && this.#abi.os !== "linux") return errnoOf("ENOTCONN");
    socket.shut(how !== 1, how !== 0);
    this.#process.kernel.progressed();
    return 0;
  }

  getsockname(fd: number): number {
    const fault = this.#enter("getsockname", fd);
    if (fault?.errno !== undefined) return errnoOf(fault.errno);
    const file = this.#process.table[fd]?.file;
    if (file === undefined) return errnoOf("EBADF");
    if (!(file instanceof Socket)) return errnoOf("ENOTSOCK");
    this.#leave(file.path);
    return CONSTANTS.AF_UNIX;
  }

  getpeername(fd: number): number {
    const fault = this.#enter("getpeername", fd);
    if (fault?.errno !== undefined) return errnoOf(fault.errno);
    const socket = this.#socket(fd, "asked for its peer");
    if (typeof socket === "number") return socket;
    const left = socket.type !== "dgram" && socket.peer === null && this.#abi.os !== "linux";
    if (socket.peerOwner === null || left) return errnoOf("ENOTCONN");
    this.#leave(socket.peer === null ? socket.lastPeerPath : socket.peer.path);
    return CONSTANTS.AF_UNIX;
  }

  /** A name, where the caller looks for it. */
  #leave(path: Uint8Array | null): void {
    this.out[OUT.ADDRESS_LENGTH] = path === null ? -1 : path.length;
    if (path !== null) this.address.set(path);
  }

  getsockopt(fd: number, level: number, name: number, into: Uint8Array): number {
    const fault = this.#enter("getsockopt", fd);
    if (fault?.errno !== undefined) return errnoOf(fault.errno);
    const file = this.#process.table[fd]?.file;
    if (file === undefined) return errnoOf("EBADF");
    if (!(file instanceof Socket)) return errnoOf("ENOTSOCK");
    const answer = this.#optionOf(file, level, name);
    if (typeof answer === "string") return errnoOf(answer);
    into.set(new Uint8Array(answer.buffer));
    return answer.byteLength;
  }

  #optionOf(socket: Socket, level: number, name: number): Int32Array | ErrnoName {
    const abi = this.#abi;
    const { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET } = abi;
    const peer = socket.peerOwner;
    if (level === CONSTANTS.SOL_LOCAL) {
      if (peer === null) return "ENOTCONN";
      // struct xucred: version, uid, one group; struct unpcbid.
      if (name === CONSTANTS.LOCAL_PEERCRED) return Int32Array.of(0, peer.uid, 1, peer.gid, ...new Array(18).fill(0));
      if (name === CONSTANTS.LOCAL_PEERPID) return Int32Array.of(peer.pid);
      if (name === CONSTANTS.LOCAL_PEEREID) return Int32Array.of(peer.pid, peer.uid, peer.gid);
      return "ENOPROTOOPT";
    }
    switch (name) {
      case CONSTANTS.SO_TYPE:
        return Int32Array.of([SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET!][TYPES.indexOf(socket.type)]!);
      case CONSTANTS.SO_ACCEPTCONN:
        return Int32Array.of(socket.backlog === null ? 0 : 1);
      case CONSTANTS.SO_ERROR: {
        const { error } = socket;
        socket.error = 0;
        return Int32Array.of(error);
      }
      case abi.SO_PEERCRED:
        if (abi.os !== "linux") return peer === null ? "ENOTCONN" : Int32Array.of(peer.uid, peer.gid, peer.pid);
        return peer === null ? Int32Array.of(0, -1, -1) : Int32Array.of(peer.pid, peer.uid, peer.gid);
      case abi.SO_PEERPIDFD: {
        if (peer === null) return "ENOTCONN";
        const fd = this.#process.install(new OpenFile("pidfd", `pid ${peer.pid}`), true);
        return fd < 0 ? "EMFILE" : Int32Array.of(fd);
      }
      default:
        return Int32Array.of(socket.options.get(name) ?? 0);
    }
  }

  setsockopt(fd: number, _level: number, name: number, value: number): number {
    const fault = this.#enter("setsockopt", fd);
    if (fault?.errno !== undefined) return errnoOf(fault.errno);
    const socket = this.#socket(fd, "set an option of");
    if (typeof socket === "number") return socket;
    socket.options.set(name, value);
    return 0;
  }

  #option(socket: Socket, name: number | null, unset: number): number {
    return name === null ? unset : (socket.options.get(name) ?? unset);
  }

  poll(fd: number, events: number, timeout: number): number {
    const fault = this.#enter("poll", fd);
    if (fault?.errno !== undefined) return errnoOf(fault.errno);
    const { kernel } = this.#process;
    for (;;) {
      const descriptor = this.#process.table[fd];
      if (descriptor === undefined && fd >= 0) return POLLNVAL;
      const ready = descriptor === undefined ? 0 : this.readiness(descriptor) & (events | POLLERR | CONSTANTS.POLLHUP);
      if (ready !== 0) return ready;
      if (timeout === 0) return 0;
      if (!kernel.waits(timeout < 0 ? Infinity : timeout)) return timeout < 0 ? errnoOf("EDEADLK") : 0;
    }
  }

  /** What `poll(2)` says. */
  readiness({ file }: Descriptor): number {
    if (!(file instanceof Socket)) return POLLIN | POLLOUT;
    if (file.backlog !== null) return file.backlog.length > 0 ? POLLIN : 0;
    let bits = 0;
    const connected = file.type === "dgram" || file.peerOwner !== null;
    if (file.queue.length > 0 || file.error !== 0 || (file.ended && connected)) bits |= POLLIN;
    if (file.error !== 0) bits |= POLLERR;
    if (file.shutRead) bits |= POLLRDHUP;
    if (!connected || (file.shutRead && file.shutWrite)) bits |= CONSTANTS.POLLHUP;
    const { peer } = file;
    // The BSDs and Darwin call a datagram socket writable whatever its receiver is like.
    const blind = file.type === "dgram" && this.#abi.datagramFullErrno === "ENOBUFS";
    const full = peer !== null && this.#isFull(file, peer, 1);
    if (peer === null || file.shutWrite || blind || !full) bits |= POLLOUT;
    return bits;
  }

  watch(fd: number, watched: Watched): Watcher | number {
    const fault = this.#enter("watch", fd);
    if (fault?.errno !== undefined) return errnoOf(fault.errno);
    if (this.#process.table[fd] === undefined) {
      this.#violate(`watched descriptor ${fd}, which is not open`);
      return errnoOf("EBADF");
    }
    return this.#process.kernel.watch(this.#process, fd, watched);
  }

  now(): number {
    return this.#process.kernel.now;
  }

  timer(milliseconds: number, fired: () => void): Timer {
    return this.#process.kernel.timer(milliseconds, fired);
  }

  /** Before every call; what meets it, but for signals, after which it is made again. `mends`: a call that may follow a receive whose descriptors are not CLOEXEC yet. */
  #enter(name: string, fd: number, mends = false): Fault | null {
    const process = this.#process;
    if (!mends && process.inheritable > 0) {
      this.#violate(`called ${name} with ${process.inheritable} descriptors that a child would inherit`);
    }
    for (let signals = 0; ; signals++) {
      const fault = process.kernel.enter(process, name, fd);
      if (fault?.errno !== "EINTR" || name === "close") return fault;
      if (signals === SIGNAL_LIMIT) {
        this.#violate(`was interrupted ${SIGNAL_LIMIT} times in ${name}`);
        return null;
      }
    }
  }

  #socket(fd: number, what: string): Socket | number {
    const file = this.#process.table[fd]?.file;
    if (file === undefined) {
      this.#violate(`${what} descriptor ${fd}, which is not open`);
      return errnoOf("EBADF");
    }
    return file instanceof Socket ? file : errnoOf("ENOTSOCK");
  }

  #violate(what: string): void {
    // A dead process does nothing any more; its code here only does not know yet.
    if (this.#process.alive) this.#process.kernel.violate(this.#process, what);
  }

  #mutesSigpipe(flags: number): boolean {
    const { MSG_NOSIGNAL } = this.#abi;
    return MSG_NOSIGNAL === null || (flags & MSG_NOSIGNAL) !== 0;
  }

  /** Darwin's send waits for room in spite of MSG_DONTWAIT. */
  #neverBlocks(socket: Socket, flags: number, sends: boolean): boolean {
    if (socket.nonblocking) return true;
    return (flags & this.#abi.MSG_DONTWAIT) !== 0 && !(sends && this.#abi.truncation === "xnu");
  }
}

/** `struct cmsgcred` of FreeBSD and DragonFly: pid, uid, euid, gid, groups, of which none are told. */
function credentialsBytes(abi: Abi, { pid, uid, gid }: Sender): Uint8Array {
  return ControlWriter.int(abi, pid, uid, uid, gid, ...new Array(17).fill(0));
}

function isSameSender({ sender: a }: Segment, { sender: b }: Segment): boolean {
  return a?.pid === b?.pid && a?.uid === b?.uid && a?.gid === b?.gid;
}

/** Each type of socket has abstract names of its own. */
function keyOf(name: string, type: SocketType): string {
  return name.startsWith("\0") ? `${name}\0${type}` : name;
}

function latin1(path: string): string {
  return Buffer.from(path).toString("latin1");
}

function piecesOf(payload: Uint8Array | readonly Uint8Array[], offset: number, length: number): Uint8Array[] {
  if (ArrayBuffer.isView(payload)) return [payload.subarray(offset, offset + length)];
  let skip = offset;
  const pieces: Uint8Array[] = [];
  for (const piece of payload) {
    const skipped = Math.min(skip, piece.length);
    skip -= skipped;
    if (skipped < piece.length) pieces.push(piece.subarray(skipped));
  }
  return pieces;
}

function bytesOf(payload: Uint8Array | readonly Uint8Array[], offset: number, length: number): Uint8Array {
  const pieces = piecesOf(payload, offset, length);
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
}

function scatter(pieces: readonly Uint8Array[], from: number, bytes: Uint8Array): void {
  let skip = from;
  let rest = bytes;
  for (const piece of pieces) {
    if (skip < piece.length) {
      const part = rest.subarray(0, piece.length - skip);
      piece.set(part, skip);
      rest = rest.subarray(part.length);
      if (rest.length === 0) return;
    }
    skip = Math.max(0, skip - piece.length);
  }
}
