/** What a kernel does when a message is received. */

import type { Abi } from "../core/abis/table.ts";
import { OUT, type System } from "../system/system.ts";
import { type ErrnoName, errnoOf } from "./errno.ts";
import {
  isCarrier,
  isEmptyRecord,
  isStreamed,
  OpenFile,
  type Segment,
  type Sender,
  type Socket,
  unreference,
} from "./files.ts";
import type { Process } from "./machine.ts";
import { reportName } from "./names.ts";
import { namesSender, option, takeError } from "./options.ts";
import { ControlWriter } from "./rules.ts";
import { disconnect, lostReceiver } from "./send.ts";
import type { Fault } from "./system-call.ts";
import { rulesOf } from "./systems.ts";

/** Receives the front of a queue; the bytes received, or the error. */
export function receive(
  process: Process,
  socket: Socket,
  pieces: readonly Uint8Array[],
  writer: ControlWriter,
  flags: number,
  fault: Fault | null,
  wantAddress: boolean,
  buffers: Pick<System, "out" | "address">,
): number | ErrnoName {
  const { abi } = process.machine;
  const rules = rulesOf(abi);
  // A reset comes before the messages that are left, and behind the bytes of a stream that are left.
  if (socket.type !== "stream" && socket.error !== 0) return takeError(socket);
  const peeks = (flags & abi.MSG_PEEK) !== 0;
  const capacity = pieces.reduce((sum, { length }) => sum + length, 0);
  while (losesFirst(abi, socket, capacity)) {
    // soreceive begins again at the record, which a peek has not removed.
    if (peeks) {
      process.violate("peeked at an empty record: the call never returns");
      return "EAGAIN";
    }
    socket.queue.shift();
  }
  const first = socket.queue[0];
  if (first === undefined) {
    if (socket.error !== 0) return takeError(socket);
    if (rules.closedReceiverErrno === "ECONNRESET" && lostReceiver(socket)) return disconnect(socket, "ECONNRESET");
    const empty = abi.emptyReceive === "answered" && capacity === 0;
    if (empty && (socket.type === "dgram" || socket.peerOwner !== null)) return 0;
    if (socket.type === "dgram" || !socket.ended) {
      if (socket.type === "dgram" || socket.peerOwner !== null) return "EAGAIN";
      return socket.type === "stream" ? rules.unconnectedStreamErrno : "ENOTCONN";
    }
    // The credentials are zeros: pid 0, uid 0 (Linux, on a stream).
    if (socket.type === "stream" && option(socket, abi.SO_PASSCRED, 0) !== 0)
      writer.put(abi.SCM_CREDENTIALS!, ControlWriter.int(abi, 0, 0, 0));
    if (socket.type === "stream") deliverPidfd(process, socket, writer, 0, null);
    return 0;
  }
  const streamed = isStreamed(socket, abi);
  const most = streamed ? Math.min(capacity, Math.max(1, fault?.short ?? Infinity)) : capacity;
  const taken: Segment[] = segments(abi, socket, most, peeks);
  // Where plain bytes are put in front of those with control data, the carrier is not the first.
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
  if (wantAddress && (socket.type !== "stream" || rules.namesStreamSender)) reportName(buffers, first.from.path);
  if (!streamed) {
    if (copied < first.bytes.length) buffers.out[OUT.FLAGS]! |= abi.MSG_TRUNC;
    if (!peeks) socket.queue.shift();
    return copied;
  }
  const { bytes: lastBytes, taken: lastTaken, mark } = taken.at(-1)!;
  const ends =
    mark &&
    (peeks
      ? most >= taken.reduce((sum, one) => sum + one.bytes.length - one.taken, 0)
      : lastTaken === lastBytes.length);
  if (socket.type === "seqpacket" && ends) buffers.out[OUT.FLAGS]! |= abi.MSG_EOR;
  while (!peeks && socket.queue.length > 0) {
    const { bytes, taken: gone } = socket.queue[0]!;
    if (gone < bytes.length || !taken.includes(socket.queue[0]!)) break;
    socket.queue.shift();
  }
  return copied;
}

/** Whether the first record is empty and gets lost: until the end has come, where the receive has room for bytes. */
function losesFirst(abi: Abi, socket: Socket, capacity: number): boolean {
  const [first] = socket.queue;
  return (
    abi.emptyRecord === "lost" && first !== undefined && isEmptyRecord(socket, first) && !socket.ended && capacity > 0
  );
}

/** The segments that one receive takes bytes of. */
function segments(abi: Abi, socket: Socket, most: number, peeks: boolean): Segment[] {
  if (!isStreamed(socket, abi)) return [socket.queue[0]!];
  const taken: Segment[] = [];
  const breaksAfter = abi.rightsCarrier === "last";
  const named = namesSender(abi, socket);
  let bytes = 0;
  for (const segment of socket.queue) {
    // A peek continues to a segment with descriptors, though it takes no byte of it (Linux, unix_stream_read_generic).
    if (bytes >= most && taken.length > 0 && !(peeks && breaksAfter)) break;
    if (taken.length > 0) {
      if (!breaksAfter && isCarrier(segment)) break;
      if (named && !isSameSender(segment, taken[0]!)) break;
    }
    taken.push(segment);
    bytes += segment.bytes.length - segment.taken;
    if (breaksAfter && segment.rights !== null) break;
    if (socket.type === "seqpacket" && segment.mark) break;
  }
  return taken;
}

/** Fills the control buffer; the error of the whole receive. */
function deliver(
  process: Process,
  socket: Socket,
  carrier: Segment,
  writer: ControlWriter,
  flags: number,
  fault: Fault | null,
): ErrnoName | null {
  const { abi } = process.machine;
  if (option(socket, abi.SO_PASSCRED, 0) !== 0) {
    const { pid, uid, gid } = carrier.sender ?? { pid: 0, uid: 65534, gid: 65534 };
    writer.put(abi.SCM_CREDENTIALS!, ControlWriter.int(abi, pid, uid, gid));
  }
  const { label } = carrier.owner;
  if (label !== null && option(socket, abi.SO_PASSSEC, 0) !== 0) writer.put(abi.SCM_SECURITY!, Buffer.from(label));
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
    if (at === credentialsAt && error === null) writer.senderCredentials(credentialsBytes(abi, carrier.sender!));
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
  if (rights !== null && !peeks) process.machine.collect(null);
  if (error !== null) {
    // The descriptors are lost. The bytes of a stream stay; a datagram does not.
    if (!isStreamed(socket, abi) && !peeks) socket.queue.shift();
    return error;
  }
  deliverPidfd(process, socket, writer, free, carrier.sender);
  return null;
}

function deliverPidfd(
  process: Process,
  socket: Socket,
  writer: ControlWriter,
  free: number,
  sender: Sender | null,
): void {
  const { abi } = process.machine;
  if (option(socket, abi.SO_PASSPIDFD, 0) === 0) return;
  // The room is checked first (net/core/scm.c, scm_pidfd_recv).
  if (writer.room < abi.dataOffset + 4) {
    writer.truncated = true;
    return;
  }
  if (sender === null) return;
  const { pid } = sender;
  const fd = free < 1 ? errnoOf("EMFILE") : process.install(new OpenFile("pidfd", `pid ${pid}`), true);
  writer.put(abi.SCM_PIDFD!, ControlWriter.int(abi, fd));
}

/** `struct cmsgcred` of FreeBSD and DragonFly: pid, uid, euid, gid, number of groups, groups. The first of them is the effective gid. */
function credentialsBytes(abi: Abi, { pid, uid, gid }: Sender): Uint8Array {
  const groups = abi.endian === "little" ? 1 : 0x10000;
  return ControlWriter.int(abi, pid, uid, uid, gid, groups, gid, ...new Array(15).fill(0));
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
