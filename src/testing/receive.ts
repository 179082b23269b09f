/** What a kernel does when a message is received. */

import type { Abi } from "../core/abis/table.ts";
import { OUT, type System } from "../system/system.ts";
import { isCarrier, OpenFile, type Segment, type Sender, type Socket, unreference } from "./files.ts";
import type { Fault, VirtualProcess } from "./kernel.ts";
import { leave } from "./names.ts";
import { option, takeError, tellsSender } from "./options.ts";
import { ControlWriter, type ErrnoName, errnoOf } from "./rules.ts";

/** Takes what is first in a queue; the bytes received, or the error. */
export function receive(
  process: VirtualProcess,
  socket: Socket,
  pieces: readonly Uint8Array[],
  writer: ControlWriter,
  flags: number,
  fault: Fault | null,
  wantAddress: boolean,
  buffers: Pick<System, "out" | "address">,
): number | ErrnoName {
  const { abi } = process.kernel;
  // A reset comes before what is left of messages, and behind what is left of a stream.
  if (socket.type !== "stream" && socket.error !== 0) return takeError(socket);
  const first = socket.queue[0];
  if (first === undefined) {
    if (socket.error !== 0) return takeError(socket);
    if (socket.type === "dgram" || !socket.ended) {
      const unconnected = socket.type !== "dgram" && socket.peerOwner === null;
      return unconnected ? (abi.os === "linux" && socket.type === "stream" ? "EINVAL" : "ENOTCONN") : "EAGAIN";
    }
    // It looks like root: pid 0, uid 0 (Linux, on a stream).
    if (socket.type === "stream" && option(socket, abi.SO_PASSCRED, 0) !== 0)
      writer.put(abi.SCM_CREDENTIALS!, ControlWriter.int(abi, 0, 0, 0));
    if (socket.type === "stream") deliverPidfd(process, socket, writer, 0, null);
    return 0;
  }
  const peeks = (flags & abi.MSG_PEEK) !== 0;
  const capacity = pieces.reduce((sum, { length }) => sum + length, 0);
  const most = socket.type === "stream" ? Math.min(capacity, Math.max(1, fault?.short ?? Infinity)) : capacity;
  const taken: Segment[] = segments(abi, socket, most, peeks);
  // On Linux plain bytes are glued in front of those that carry descriptors; elsewhere they come first.
  const carrier = taken.find(isCarrier) ?? first;
  const result = deliver(process, socket, carrier, writer, flags, fault);
  if (result !== null) return result;
  let copied = 0;
  for (const segment of taken) {
    const chunk = segment.bytes.subarray(segment.taken, segment.taken + most - copied);
    scatter(pieces, copied, chunk);
    copied += chunk.length;
    if (!peeks) segment.taken += chunk.length;
  }
  // Linux names the sender of a stream's bytes too.
  if (wantAddress && (socket.type !== "stream" || abi.os === "linux")) leave(buffers, first.from.path);
  if (socket.type !== "stream") {
    if (copied < first.bytes.length) buffers.out[OUT.FLAGS]! |= abi.MSG_TRUNC;
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
function segments(abi: Abi, socket: Socket, most: number, peeks: boolean): Segment[] {
  if (socket.type !== "stream") return [socket.queue[0]!];
  const taken: Segment[] = [];
  const breaksAfter = abi.os === "linux";
  const tells = tellsSender(abi, socket);
  let bytes = 0;
  for (const segment of socket.queue) {
    // A peek goes on to what carries descriptors, though it takes no byte of it (Linux, unix_stream_read_generic).
    if (bytes >= most && taken.length > 0 && !(peeks && breaksAfter)) break;
    if (taken.length > 0) {
      if (!breaksAfter && isCarrier(segment)) break;
      if (tells && !isSameSender(segment, taken[0]!)) break;
    }
    taken.push(segment);
    bytes += segment.bytes.length - segment.taken;
    if (breaksAfter && segment.rights !== null) break;
  }
  return taken;
}

/** Fills the control buffer; the error of the whole receive. */
function deliver(
  process: VirtualProcess,
  socket: Socket,
  carrier: Segment,
  writer: ControlWriter,
  flags: number,
  fault: Fault | null,
): ErrnoName | null {
  const { abi } = process.kernel;
  if (option(socket, abi.SO_PASSCRED, 0) !== 0) {
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
  deliverPidfd(process, socket, writer, free, carrier.sender);
  return null;
}

function deliverPidfd(
  process: VirtualProcess,
  socket: Socket,
  writer: ControlWriter,
  free: number,
  sender: Sender | null,
): void {
  const { abi } = process.kernel;
  if (option(socket, abi.SO_PASSPIDFD, 0) === 0) return;
  // Whether it would have fitted is asked first (net/core/scm.c, scm_pidfd_recv).
  if (writer.room < abi.dataOffset + 4) {
    writer.truncated = true;
    return;
  }
  if (sender === null) return;
  const { pid } = sender;
  const fd = free < 1 ? errnoOf("EMFILE") : process.install(new OpenFile("pidfd", `pid ${pid}`), true);
  writer.put(abi.SCM_PIDFD!, ControlWriter.int(abi, fd));
}

/** `struct cmsgcred` of FreeBSD and DragonFly: pid, uid, euid, gid, groups, of which none are told. */
function credentialsBytes(abi: Abi, { pid, uid, gid }: Sender): Uint8Array {
  return ControlWriter.int(abi, pid, uid, uid, gid, ...new Array(17).fill(0));
}

function isSameSender({ sender: a }: Segment, { sender: b }: Segment): boolean {
  return a?.pid === b?.pid && a?.uid === b?.uid && a?.gid === b?.gid;
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
