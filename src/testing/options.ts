/** Options of sockets, and what they mean for messages. */

import type { Abi } from "../core/abis/table.ts";
import type { SocketType } from "../system/socket-type.ts";
import type { System } from "../system/system.ts";
import { type ErrnoName, errnoOf } from "./errno.ts";
import { OpenFile, type Socket } from "./files.ts";
import { type Caller, socketOf } from "./system-call.ts";

const TYPES: readonly SocketType[] = ["stream", "dgram", "seqpacket"];

export function optionCalls(caller: Caller): Pick<System, "getsockopt" | "getsockoptFd" | "setsockopt"> {
  return {
    getsockopt: (fd, level, name, into) =>
      caller.call("getsockopt", fd, () => {
        const socket = socketOf(caller.process, fd);
        if (typeof socket === "string") return socket;
        if (name === caller.machine.abi.SO_PEERPIDFD)
          caller.process.violate("a pidfd by getsockopt, which no thread owns: getsockoptFd");
        const value = optionOf(caller, socket, level, name, into.length);
        if (typeof value === "string") return value;
        const bytes = new Uint8Array(value.buffer, value.byteOffset, Math.min(value.byteLength, into.length));
        into.set(bytes);
        return bytes.length;
      }),

    getsockoptFd: (fd, _level, name) =>
      caller.call("getsockopt", fd, () => {
        const socket = socketOf(caller.process, fd);
        if (typeof socket === "string") return socket;
        if (name !== caller.machine.abi.SO_PEERPIDFD) return "ENOPROTOOPT";
        const peer = socket.peerOwner;
        return peer === null ? "ENOTCONN" : caller.process.make(new OpenFile("pidfd", `pid ${peer.pid}`));
      }),

    setsockopt: (fd, level, name, value) =>
      caller.socketCall("setsockopt", fd, "set an option of", (socket) => {
        const { abi } = caller.machine;
        if (level !== abi.SOL_SOCKET) return caller.rules.otherLevelErrno;
        const int =
          typeof value === "number" ? value : value.length < 4 ? null : new Int32Array(value.slice(0, 4).buffer)[0]!;
        if (FLAGS.some((flag) => name === abi[flag])) {
          if (int === null) return "EINVAL";
          socket.options.set(name, int === 0 ? 0 : 1);
        } else {
          const [own] = BUFFERS.find((names) => names.some((one) => name === abi[one])) ?? [];
          if (own === undefined) return "ENOPROTOOPT";
          if (int === null) return "EINVAL";
          // Only a privileged user may exceed the limit of the system, which is not simulated.
          if (name !== abi[own] && caller.process.uid !== 0) return "EPERM";
          socket.options.set(abi[own], int);
        }
        return 0;
      }),
  };
}

/** The options that can be set: flags, and sizes, each with the option that sets it beyond the limit of the system. */
const FLAGS = ["SO_PASSCRED", "SO_PASSPIDFD", "SO_PASSRIGHTS", "SO_PASSSEC", "SO_NOSIGPIPE"] as const;
const BUFFERS = [
  ["SO_SNDBUF", "SO_SNDBUFFORCE"],
  ["SO_RCVBUF", "SO_RCVBUFFORCE"],
] as const;

/** The value of an option for a program whose memory for it has `room` bytes. */
function optionOf(
  { machine: { abi, limits }, rules }: Caller,
  socket: Socket,
  level: number,
  name: number,
  room: number,
): Int32Array | Uint8Array | ErrnoName {
  if (level !== abi.SOL_SOCKET && level !== abi.SOL_LOCAL) return rules.otherLevelErrno;
  const { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET } = abi;
  const peer = socket.peerOwner;
  if (level === abi.SOL_LOCAL) {
    if (peer === null) return "ENOTCONN";
    // struct xucred: version, uid, one group; struct unpcbid.
    if (name === abi.LOCAL_PEERCRED) return Int32Array.of(0, peer.uid, 1, peer.gid, ...new Array(18).fill(0));
    if (name === abi.LOCAL_PEERPID) return Int32Array.of(peer.pid);
    if (name === abi.LOCAL_PEEREID) return Int32Array.of(peer.pid, peer.uid, peer.gid);
    return "ENOPROTOOPT";
  }
  switch (name) {
    case abi.SO_TYPE:
      return Int32Array.of([SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET!][TYPES.indexOf(socket.type)]!);
    case abi.SO_ACCEPTCONN:
      return Int32Array.of(socket.backlog === null ? 0 : 1);
    case abi.SO_ERROR: {
      const { error } = socket;
      socket.error = 0;
      return Int32Array.of(error);
    }
    case abi.SO_PEERCRED:
      return rules.peerCredentials?.(peer) ?? "ENOPROTOOPT";
    case abi.SO_SNDBUF:
    case abi.SO_RCVBUF:
      return Int32Array.of((rules.sendersBuffer ? 2 : 1) * option(socket, name, limits.bufferBytes));
    case abi.SO_PASSRIGHTS:
      return Int32Array.of(option(socket, name, 1));
    case abi.SO_PEERGROUPS:
      if (peer === null) return "ENODATA";
      return room < 4 * peer.groups.length ? "ERANGE" : Int32Array.from(peer.groups);
    case abi.SO_PEERSEC: {
      if (peer === null || peer.label === null) return "ENOPROTOOPT";
      const label = Buffer.from(peer.label);
      return room < label.length ? "ERANGE" : label;
    }
    default:
      return FLAGS.some((flag) => name === abi[flag]) ? Int32Array.of(option(socket, name, 0)) : "ENOPROTOOPT";
  }
}

/** The value of an option; `unset` where it was not set, or the system has no such option. */
export function option(socket: Socket, name: number | null, unset: number): number {
  return name === null ? unset : (socket.options.get(name) ?? unset);
}

/** Whether messages name their sender. Bytes of different senders are not put together then. */
export function namesSender(abi: Abi, socket: Socket): boolean {
  const { SO_PASSCRED, SO_PASSPIDFD } = abi;
  return option(socket, SO_PASSCRED, 0) !== 0 || option(socket, SO_PASSPIDFD, 0) !== 0;
}

/** The pending error, which is reported once. */
export function takeError(socket: Socket): ErrnoName {
  const { error } = socket;
  socket.error = 0;
  return error === -errnoOf("ECONNRESET") ? "ECONNRESET" : "EIO";
}
