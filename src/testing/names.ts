/** Names of sockets: in the file system, and in the abstract namespace. */

import type { SocketType } from "../system/socket-type.ts";
import { OUT, type System } from "../system/system.ts";
import { CONSTANTS } from "./constants.ts";
import { Socket } from "./files.ts";
import type { VirtualKernel, VirtualProcess } from "./kernel.ts";
import { type ErrnoName, errnoOf } from "./rules.ts";
import { enter, socketOf } from "./system-call.ts";

/** Bound to it, a socket gets a name that the kernel chooses. */
export const NO_PATH: Uint8Array = new Uint8Array(0);

export function nameCalls(
  process: VirtualProcess,
  buffers: Pick<System, "out" | "address">,
): Pick<System, "bind" | "getsockname" | "getpeername" | "lstat" | "unlink" | "rename" | "link" | "chmod"> {
  const { kernel } = process;
  const { abi } = kernel;
  return {
    bind(fd, path) {
      const fault = enter(process, "bind", fd);
      if (fault?.errno !== undefined) return errnoOf(fault.errno);
      const socket = socketOf(process, fd, "bound");
      if (typeof socket === "number") return socket;
      return bindSocket(kernel, socket, path) ? 0 : errnoOf("EADDRINUSE");
    },

    getsockname(fd) {
      const fault = enter(process, "getsockname", fd);
      if (fault?.errno !== undefined) return errnoOf(fault.errno);
      const file = process.table[fd]?.file;
      if (file === undefined) return errnoOf("EBADF");
      if (!(file instanceof Socket)) return errnoOf("ENOTSOCK");
      leave(buffers, file.path);
      return CONSTANTS.AF_UNIX;
    },

    getpeername(fd) {
      const fault = enter(process, "getpeername", fd);
      if (fault?.errno !== undefined) return errnoOf(fault.errno);
      const socket = socketOf(process, fd, "asked for its peer");
      if (typeof socket === "number") return socket;
      const left = socket.type !== "dgram" && socket.peer === null && abi.os !== "linux";
      if (socket.peerOwner === null || left) return errnoOf("ENOTCONN");
      leave(buffers, socket.peer === null ? socket.lastPeerPath : socket.peer.path);
      return CONSTANTS.AF_UNIX;
    },

    lstat(path, into) {
      const found = kernel.names.get(latin1(path));
      if (found === undefined) return errnoOf("ENOENT");
      into.set([BigInt(CONSTANTS.S_IFSOCK), 0n, 0n, BigInt(found.inode)]);
      return 0;
    },

    unlink(path) {
      const fault = enter(process, "unlink", -1);
      if (fault?.errno !== undefined) return errnoOf(fault.errno);
      return kernel.names.delete(latin1(path)) ? 0 : errnoOf("ENOENT");
    },

    rename(from, to) {
      const fault = enter(process, "rename", -1);
      if (fault?.errno !== undefined) return errnoOf(fault.errno);
      const { names } = kernel;
      const found = names.get(latin1(from));
      if (found === undefined) return errnoOf("ENOENT");
      names.delete(latin1(from));
      names.set(latin1(to), found);
      return 0;
    },

    link(from, to) {
      const fault = enter(process, "link", -1);
      if (fault?.errno !== undefined) return errnoOf(fault.errno);
      const { names } = kernel;
      const found = names.get(latin1(from));
      if (found === undefined) return errnoOf("ENOENT");
      if (names.has(latin1(to))) return errnoOf("EEXIST");
      names.set(latin1(to), found);
      return 0;
    },

    chmod(path) {
      const fault = enter(process, "chmod", -1);
      if (fault?.errno !== undefined) return errnoOf(fault.errno);
      return kernel.names.has(latin1(path)) ? 0 : errnoOf("ENOENT");
    },
  };
}

/** Gives a socket a name; false: somebody has it. */
export function bindSocket(kernel: VirtualKernel, socket: Socket, path: Uint8Array): boolean {
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
export function find(kernel: VirtualKernel, path: Uint8Array, type: SocketType): Socket | ErrnoName {
  const found = kernel.names.get(keyOf(Buffer.from(path).toString("latin1"), type));
  if (found === undefined) return path[0] === 0 ? "ECONNREFUSED" : "ENOENT";
  if (found.socket === null) return "ECONNREFUSED";
  return found.socket.type === type ? found.socket : "EPROTOTYPE";
}

/** A socket has gone. */
export function unbind({ names }: VirtualKernel, socket: Socket): void {
  for (const [name, bound] of names) {
    if (bound.socket !== socket) continue;
    // A file stays, and refuses connections; an abstract name goes with its socket.
    if (name.startsWith("\0")) names.delete(name);
    else bound.socket = null;
  }
}

/** A name, where the caller looks for it. */
export function leave({ out, address }: Pick<System, "out" | "address">, path: Uint8Array | null): void {
  out[OUT.ADDRESS_LENGTH] = path === null ? -1 : path.length;
  if (path !== null) address.set(path);
}

/** Each type of socket has abstract names of its own. */
function keyOf(name: string, type: SocketType): string {
  return name.startsWith("\0") ? `${name}\0${type}` : name;
}

function latin1(path: string): string {
  return Buffer.from(path).toString("latin1");
}
