/** Options of sockets, and what they mean for messages. */

import type { Abi } from "../core/abis/table.ts";
import type { SocketType } from "../system/socket-type.ts";
import type { System } from "../system/system.ts";
import { CONSTANTS, SOME_CONSTANTS } from "./constants.ts";
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
        const value = optionOf(caller, socket, level, name);
        if (typeof value === "string") return value;
        into.set(new Uint8Array(value.buffer));
        return value.byteLength;
      }),

    getsockoptFd: (fd, _level, name) =>
      caller.call("getsockopt", fd, () => {
        const socket = socketOf(caller.process, fd);
        if (typeof socket === "string") return socket;
        if (name !== caller.machine.abi.SO_PEERPIDFD) return "ENOPROTOOPT";
        const peer = socket.peerOwner;
        return peer === null ? "ENOTCONN" : caller.process.make(new OpenFile("pidfd", `pid ${peer.pid}`));
      }),

    setsockopt: (fd, _level, name, value) =>
      caller.socketCall("setsockopt", fd, "set an option of", (socket) => {
        socket.options.set(name, value);
        return 0;
      }),
  };
}

function optionOf(
  { machine: { abi }, rules }: Caller,
  socket: Socket,
  level: number,
  name: number,
): Int32Array | ErrnoName {
  const { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET } = abi;
  const peer = socket.peerOwner;
  if (level === CONSTANTS.SOL_LOCAL) {
    if (peer === null) return "ENOTCONN";
    // struct xucred: version, uid, one group; struct unpcbid.
    if (name === SOME_CONSTANTS.LOCAL_PEERCRED)
      return Int32Array.of(0, peer.uid, 1, peer.gid, ...new Array(18).fill(0));
    if (name === SOME_CONSTANTS.LOCAL_PEERPID) return Int32Array.of(peer.pid);
    if (name === SOME_CONSTANTS.LOCAL_PEEREID) return Int32Array.of(peer.pid, peer.uid, peer.gid);
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
      return rules.peerCredentials?.(peer) ?? "ENOPROTOOPT";
    default:
      return Int32Array.of(socket.options.get(name) ?? 0);
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
