/** What a kernel does with a message that is sent. */

import type { Abi } from "../core/abis/table.ts";
import type { ErrnoName } from "./errno.ts";
import { discard, isStreamed, type Segment, type Socket } from "./files.ts";
import type { Machine, Process } from "./machine.ts";
import { bindSocket, find, NO_PATH } from "./names.ts";
import { namesSender, option, takeError } from "./options.ts";
import { readSent } from "./rules.ts";
import type { Fault } from "./system-call.ts";
import { rulesOf } from "./systems.ts";

/** Puts a message into the queue of its receiver; the bytes taken, or the error. */
export function send(
  process: Process,
  socket: Socket,
  bytes: Uint8Array,
  control: Uint8Array,
  to: Uint8Array | null,
  fault: Fault | null,
  endsRecord = true,
): number | ErrnoName {
  const { machine, pid, uid, gid, table } = process;
  const { abi, limits } = machine;
  const rules = rulesOf(abi);
  const unconnected = to === null && socket.peer === null && socket.peerOwner === null;
  if (rules.endBeforeControl) {
    // sosend of Darwin and the BSDs; the protocol reads the control data later.
    if (socket.shutWrite) return "EPIPE";
    if (to === null && lostReceiver(socket)) return disconnect(socket, rules.closedReceiverErrno);
    if (unconnected && socket.type === "dgram") return rules.noReceiverErrno;
  }
  if (socket.type === "seqpacket" && socket.error !== 0) return takeError(socket);
  const sent = readSent(abi, control, {
    isOpen: (number) => table[number] !== undefined,
    mayClaim: (claimed) => uid === 0 || (claimed.pid === pid && claimed.uid === uid && claimed.gid === gid),
  });
  if (typeof sent === "string") return sent;
  const files = sent.rights.map((numbers) => numbers.map((number) => table[number]!.file));
  if (rules.notConnectedFirst && socket.type === "dgram" && unconnected) return "ENOTCONN";
  // A socket whose messages name their sender gets a name (Linux, unix_autobind).
  if (socket.type !== "stream" && socket.path === null && namesSender(abi, socket))
    bindSocket(machine, socket, NO_PATH);
  if (socket.type !== "stream" && socket.error !== 0) return takeError(socket);
  if (socket.shutWrite) return "EPIPE";
  const peer = to === null ? socket.peer : find(machine, to, socket.type);
  if (typeof peer === "string") return peer;
  if (unconnected) return socket.type === "dgram" ? rules.noReceiverErrno : "ENOTCONN";
  if (socket.error !== 0) return takeError(socket);
  const count = files.reduce((sum, group) => sum + group.length, 0);
  if (count > 0) {
    const refused = rules.refusesInFlight(count, {
      ...machine.inFlightOf(uid),
      descriptors: uid === 0 ? Infinity : process.limit,
      files: limits.files,
    });
    if (refused !== null) return refused;
  }
  if (socket.type === "dgram" && peer !== null && !maySend(abi, socket, peer)) return "EPERM";
  if (peer !== null && peer.references === 0 && socket.type === "dgram")
    return disconnect(socket, rules.closedReceiverErrno);
  if (peer === null) return "EPIPE";
  if (peer.shutRead) return "EPIPE";
  // No byte carries the descriptors (Linux): they are lost, without an error, also if the receiver refuses them.
  if (socket.type === "stream" && bytes.length === 0 && (abi.emptyStreamRights === "dropped" || files.length === 0))
    return 0;
  if (socket.type === "seqpacket" && bytes.length === 0 && files.length === 0 && abi.emptyRecord === "dropped")
    return 0;
  if (files.length > 0 && option(peer, abi.SO_PASSRIGHTS, 1) === 0) return "EPERM";

  const accepted = room(machine, socket, peer, bytes.length, control.length);
  if (typeof accepted === "string") return accepted;
  const taken = Math.min(
    accepted,
    isStreamed(socket, abi) ? Math.max(1, fault?.short ?? Infinity) : Infinity,
    bytes.length,
  );
  for (const group of files) for (const file of group) file.references++;
  // A message to a socket that is not accepted yet names its sender, with or without the option (Linux, maybe_add_creds).
  const passes =
    sent.credentials !== null || namesSender(abi, socket) || namesSender(abi, peer) || peer.peerNotAccepted;
  const segment: Segment = {
    bytes: bytes.slice(0, taken),
    taken: 0,
    rights: files.length > 0 ? files : null,
    credentialsAt: sent.credentialsAt,
    sender: passes || sent.credentialsAt !== null ? (sent.credentials ?? process) : null,
    owner: process,
    from: socket,
    // The mark is on a byte: a record of descriptors alone has none (FreeBSD 15, mc_uiotomc).
    mark: endsRecord && taken === bytes.length && taken > 0,
  };
  if (segment.rights !== null) machine.inFlight.add(segment);
  peer.queue.push(segment);
  return taken;
}

/** Whether the peer of a datagram socket is closed, which was not reported yet. */
export function lostReceiver({ type, peer }: Socket): boolean {
  return type === "dgram" && peer !== null && peer.references === 0;
}

/** The error of a datagram socket whose peer is closed. It is reported once; then the socket is not connected any more. */
export function disconnect(socket: Socket, errno: "ECONNREFUSED" | "ECONNRESET"): ErrnoName {
  socket.peer = null;
  socket.peerOwner = null;
  if (errno === "ECONNREFUSED") for (const segment of socket.queue.splice(0)) discard(segment);
  return errno;
}

/** Whether a datagram socket takes what another sends. */
export function maySend(abi: Abi, socket: Socket, peer: Socket): boolean {
  return !rulesOf(abi).connectedDatagrams || peer.peer === null || peer.peer === socket;
}

/** Bytes that the receiver takes now. */
function room(machine: Machine, socket: Socket, peer: Socket, bytes: number, control: number): number | ErrnoName {
  const { abi, limits } = machine;
  const left = bufferBytes(machine, socket, peer) - peer.queuedBytes;
  // The room for control data shrinks with what is unread (Darwin, libuv #1739).
  if (abi.controlFullErrno !== null && control > 0 && control > left) return abi.controlFullErrno;
  if (isStreamed(socket, abi)) return left <= 0 && bytes > 0 ? "EAGAIN" : left;
  if (bytes > option(socket, abi.SO_SNDBUF, limits.bufferBytes)) return "EMSGSIZE";
  if (!isFull(machine, socket, peer, bytes)) return bytes;
  return socket.type === "dgram" ? abi.datagramFullErrno : "EAGAIN";
}

/** Bytes that a receiver keeps of a sender. */
function bufferBytes({ abi, limits }: Machine, socket: Socket, peer: Socket): number {
  return rulesOf(abi).sendersBuffer
    ? option(socket, abi.SO_SNDBUF, limits.bufferBytes)
    : option(peer, abi.SO_RCVBUF, limits.bufferBytes);
}

/** Whether a message of so many bytes has to wait until the receiver has room. */
export function isFull(machine: Machine, socket: Socket, peer: Socket, bytes: number): boolean {
  const { abi, limits } = machine;
  const left = bufferBytes(machine, socket, peer) - peer.queuedBytes;
  if (isStreamed(socket, abi)) return left <= 0;
  // Only the sender's buffer limits two that are connected with each other (Linux, unix_dgram_sendmsg).
  const counts = !rulesOf(abi).connectedDatagrams || peer.peer !== socket;
  return bytes > left || (counts && peer.queue.length >= limits.bufferMessages);
}
