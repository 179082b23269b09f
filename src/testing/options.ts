/** Options of sockets, and what they mean for messages. */

import type { Abi } from "../core/abis/table.ts";
import type { SocketType } from "../system/socket-type.ts";
import type { System } from "../system/system.ts";
import { CONSTANTS } from "./constants.ts";
import { OpenFile, Socket } from "./files.ts";
import type { VirtualProcess } from "./kernel.ts";
import { type ErrnoName, errnoOf } from "./rules.ts";
import { enter, socketOf } from "./system-call.ts";

const TYPES: readonly SocketType[] = ["stream", "dgram", "seqpacket"];

export function optionCalls(process: VirtualProcess): Pick<System, "getsockopt" | "setsockopt"> {
  return {
    getsockopt(fd, level, name, into) {
      const fault = enter(process, "getsockopt", fd);
      if (fault?.errno !== undefined) return errnoOf(fault.errno);
      const file = process.table[fd]?.file;
      if (file === undefined) return errnoOf("EBADF");
      if (!(file instanceof Socket)) return errnoOf("ENOTSOCK");
      const answer = optionOf(process, file, level, name);
      if (typeof answer === "string") return errnoOf(answer);
      into.set(new Uint8Array(answer.buffer));
      return answer.byteLength;
    },

    setsockopt(fd, _level, name, value) {
      const fault = enter(process, "setsockopt", fd);
      if (fault?.errno !== undefined) return errnoOf(fault.errno);
      const socket = socketOf(process, fd, "set an option of");
      if (typeof socket === "number") return socket;
      socket.options.set(name, value);
      return 0;
    },
  };
}

function optionOf(process: VirtualProcess, socket: Socket, level: number, name: number): Int32Array | ErrnoName {
  const { abi } = process.kernel;
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
      const fd = process.install(new OpenFile("pidfd", `pid ${peer.pid}`), true);
      return fd < 0 ? "EMFILE" : Int32Array.of(fd);
    }
    default:
      return Int32Array.of(socket.options.get(name) ?? 0);
  }
}

/** What an option is set to; `unset`: nobody set it, or the system has none. */
export function option(socket: Socket, name: number | null, unset: number): number {
  return name === null ? unset : (socket.options.get(name) ?? unset);
}

/** Whether the kernel says who sent something. It does not glue what different processes sent then. */
export function tellsSender(abi: Abi, socket: Socket): boolean {
  const { SO_PASSCRED, SO_PASSPIDFD } = abi;
  return option(socket, SO_PASSCRED, 0) !== 0 || option(socket, SO_PASSPIDFD, 0) !== 0;
}

/** The pending error, which is said once. */
export function takeError(socket: Socket): ErrnoName {
  const { error } = socket;
  socket.error = 0;
  return error === -errnoOf("ECONNRESET") ? "ECONNRESET" : "EIO";
}
