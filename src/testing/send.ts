/** What a kernel does with a message that is sent. */

import type { Abi } from "../core/abis/table.ts";
import { discard, type Segment, type Socket } from "./files.ts";
import type { Fault, VirtualKernel, VirtualProcess } from "./kernel.ts";
import { bindSocket, find, NO_PATH } from "./names.ts";
import { option, takeError, tellsSender } from "./options.ts";
import { type ErrnoName, inFlightRefusal, readSent } from "./rules.ts";

/** Puts a message into the queue of its receiver; the bytes taken, or the error. */
export function send(
  process: VirtualProcess,
  socket: Socket,
  bytes: Uint8Array,
  control: Uint8Array,
  to: Uint8Array | null,
  fault: Fault | null,
): number | ErrnoName {
  const { kernel, pid, uid, gid, table } = process;
  const { abi } = kernel;
  if (socket.type === "seqpacket" && socket.error !== 0) return takeError(socket);
  const sent = readSent(abi, control, {
    isOpen: (number) => table[number] !== undefined,
    mayClaim: (claimed) => uid === 0 || (claimed.pid === pid && claimed.uid === uid && claimed.gid === gid),
  });
  if (typeof sent === "string") return sent;
  const files = sent.rights.map((numbers) => numbers.map((number) => table[number]!.file));
  // Who can be told of gets a name (Linux, unix_autobind).
  if (socket.type !== "stream" && socket.path === null && tellsSender(abi, socket)) bindSocket(kernel, socket, NO_PATH);
  if (socket.type !== "stream" && socket.error !== 0) return takeError(socket);
  if (socket.shutWrite) return "EPIPE";
  const peer = to === null ? socket.peer : find(kernel, to, socket.type);
  if (typeof peer === "string") return peer;
  if (peer === null && socket.peerOwner === null) return "ENOTCONN";
  if (socket.error !== 0) return takeError(socket);
  const count = files.reduce((sum, group) => sum + group.length, 0);
  if (count > 0) {
    const inFlight = {
      ...kernel.inFlightOf(uid),
      descriptors: uid === 0 ? Infinity : process.limit,
      files: kernel.files,
    };
    const refused = inFlightRefusal(abi, count, inFlight);
    if (refused !== null) return refused;
  }
  if (socket.type === "dgram" && peer !== null && !maySend(abi, socket, peer)) return "EPERM";
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
  if (files.length > 0 && option(peer, abi.SO_PASSRIGHTS, 1) === 0) return "EPERM";

  const accepted = room(kernel, socket, peer, bytes.length, control.length);
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
    sent.credentials !== null || tellsSender(abi, socket) || tellsSender(abi, peer) || peer.peerNotAccepted;
  const segment: Segment = {
    bytes: bytes.slice(0, taken),
    taken: 0,
    rights: files.length > 0 ? files : null,
    credentialsAt: sent.credentialsAt,
    sender: passes || sent.credentialsAt !== null ? (sent.credentials ?? process.sender) : null,
    owner: process.sender,
    from: socket,
  };
  if (segment.rights !== null) kernel.inFlight.add(segment);
  peer.queue.push(segment);
  return taken;
}

/** A socket that is connected takes datagrams of its peer only (Linux, unix_may_send). */
export function maySend(abi: Abi, socket: Socket, peer: Socket): boolean {
  return abi.os !== "linux" || peer.peer === null || peer.peer === socket;
}

/** Bytes that the receiver takes now. */
function room(kernel: VirtualKernel, socket: Socket, peer: Socket, bytes: number, control: number): number | ErrnoName {
  const { abi, bufferBytes } = kernel;
  const left = bufferBytes - peer.queuedBytes;
  // Its limit for control data shrinks with what is unread (libuv #1739).
  if (abi.truncation === "xnu" && control > 0 && control > left) return "EMSGSIZE";
  if (socket.type === "stream") return left <= 0 && bytes > 0 ? "EAGAIN" : left;
  if (bytes > bufferBytes) return "EMSGSIZE";
  if (!isFull(kernel, socket, peer, bytes)) return bytes;
  return socket.type === "dgram" ? abi.datagramFullErrno : "EAGAIN";
}

/** Whether a message of so many bytes has to wait for the receiver. */
export function isFull(kernel: VirtualKernel, socket: Socket, peer: Socket, bytes: number): boolean {
  const { abi, bufferBytes, bufferMessages } = kernel;
  const left = bufferBytes - peer.queuedBytes;
  if (socket.type === "stream") return left <= 0;
  // Two that are connected with each other are limited by the sender's buffer alone (Linux, unix_dgram_sendmsg).
  const counts = abi.os !== "linux" || peer.peer !== socket;
  return bytes > left || (counts && peer.queue.length >= bufferMessages);
}
