/** Names of sockets: in the file system, and in the abstract namespace. */

import type { SocketType } from "../system/socket-type.ts";
import { FILE_STATUS, OUT, type System } from "../system/system.ts";
import { CONSTANTS } from "./constants.ts";
import type { ErrnoName } from "./errno.ts";
import type { Socket } from "./files.ts";
import type { Machine } from "./machine.ts";
import { type Caller, socketOf } from "./system-call.ts";

type Calls = "bind" | "getsockname" | "getpeername" | "lstat" | "unlink" | "rename" | "link" | "chmod";

/** A socket that is bound to it gets a name of the kernel's choice. */
export const NO_PATH: Uint8Array = new Uint8Array(0);

export function nameCalls(caller: Caller, buffers: Pick<System, "out" | "address">): Pick<System, Calls> {
  const { process, machine, rules } = caller;
  const { names } = machine;
  return {
    bind: (fd, path) =>
      caller.socketCall("bind", fd, "bound", (socket) => (bindSocket(machine, socket, path) ? 0 : "EADDRINUSE")),

    getsockname: (fd) =>
      caller.call("getsockname", fd, () => {
        const socket = socketOf(process, fd);
        if (typeof socket === "string") return socket;
        reportName(buffers, socket.path);
        return CONSTANTS.AF_UNIX;
      }),

    getpeername: (fd) =>
      caller.socketCall("getpeername", fd, "asked for its peer", (socket) => {
        const closed = socket.type !== "dgram" && socket.peer === null;
        if (socket.peerOwner === null || (closed && !rules.remembersPeer)) return "ENOTCONN";
        reportName(buffers, socket.peer === null ? socket.lastPeerPath : socket.peer.path);
        return CONSTANTS.AF_UNIX;
      }),

    lstat: (path, into) =>
      caller.call("lstat", -1, () => {
        const found = names.get(latin1(path));
        if (found === undefined) return "ENOENT";
        into.fill(0n);
        into[FILE_STATUS.MODE] = BigInt(CONSTANTS.S_IFSOCK);
        into[FILE_STATUS.INODE] = BigInt(found.inode);
        return 0;
      }),

    unlink: (path) => caller.call("unlink", -1, () => (names.delete(latin1(path)) ? 0 : "ENOENT")),

    rename: (from, to) =>
      caller.call("rename", -1, () => {
        const found = names.get(latin1(from));
        if (found === undefined) return "ENOENT";
        names.delete(latin1(from));
        names.set(latin1(to), found);
        return 0;
      }),

    link: (from, to) =>
      caller.call("link", -1, () => {
        const found = names.get(latin1(from));
        if (found === undefined) return "ENOENT";
        if (names.has(latin1(to))) return "EEXIST";
        names.set(latin1(to), found);
        return 0;
      }),

    chmod: (path) => caller.call("chmod", -1, () => (names.has(latin1(path)) ? 0 : "ENOENT")),
  };
}

/** Gives a socket a name; false: the name is taken. */
export function bindSocket(machine: Machine, socket: Socket, path: Uint8Array): boolean {
  const inode = machine.nextInode();
  // Linux chooses five hexadecimal digits in the abstract namespace.
  const name = path.length === 0 ? `\0${inode.toString(16).padStart(5, "0")}` : Buffer.from(path).toString("latin1");
  const key = keyOf(name, socket.type);
  if (machine.names.has(key)) return false;
  machine.names.set(key, { socket, inode });
  socket.path = Buffer.from(name, "latin1");
  return true;
}

/** The socket that is bound to a path; else the error of a connect or send to it. */
export function find(machine: Machine, path: Uint8Array, type: SocketType): Socket | ErrnoName {
  const found = machine.names.get(keyOf(Buffer.from(path).toString("latin1"), type));
  if (found === undefined) return path[0] === 0 ? "ECONNREFUSED" : "ENOENT";
  if (found.socket === null) return "ECONNREFUSED";
  return found.socket.type === type ? found.socket : "EPROTOTYPE";
}

/** Ends the names of a socket that is closed. */
export function unbind({ names }: Machine, socket: Socket): void {
  for (const [name, bound] of names) {
    if (bound.socket !== socket) continue;
    // A file stays, and refuses connections; an abstract name ends with its socket.
    if (name.startsWith("\0")) names.delete(name);
    else bound.socket = null;
  }
}

/** Writes a name where its caller finds it. */
export function reportName({ out, address }: Pick<System, "out" | "address">, path: Uint8Array | null): void {
  out[OUT.ADDRESS_LENGTH] = path === null ? -1 : path.length;
  if (path !== null) address.set(path);
}

/** Abstract names are separate for each type of socket. */
function keyOf(name: string, type: SocketType): string {
  return name.startsWith("\0") ? `${name}\0${type}` : name;
}

function latin1(path: string): string {
  return Buffer.from(path).toString("latin1");
}
