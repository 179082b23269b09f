/** Names of sockets: in the file system, and in the abstract namespace. */

import type { SocketType } from "../system/socket-type.ts";
import { FILE_STATUS, OUT, type System } from "../system/system.ts";
import { CONSTANTS } from "./constants.ts";
import type { ErrnoName } from "./errno.ts";
import { OpenFile, type Socket } from "./files.ts";
import type { Machine, Process } from "./machine.ts";
import { type Caller, socketOf } from "./system-call.ts";
import { rulesOf } from "./systems.ts";

type Calls =
  | "bind"
  | "boundInode"
  | "getsockname"
  | "getpeername"
  | "lstat"
  | "unlink"
  | "rename"
  | "link"
  | "openFolder"
  | "flock"
  | "keepPath";

/** A socket that is bound to it gets a name of the kernel's choice. */
export const NO_PATH: Uint8Array = new Uint8Array(0);

export function nameCalls(caller: Caller, buffers: Pick<System, "out" | "address">): Pick<System, Calls> {
  const { process, machine, rules } = caller;
  const { names } = machine;
  return {
    bind: (fd, path) =>
      caller.socketCall("bind", fd, "bound", (socket) => (bindSocket(machine, socket, path) ? 0 : "EADDRINUSE")),

    boundInode: (fd, into) =>
      caller.socketCall("boundInode", fd, "asked for the inode of", (socket) => {
        const file = [...machine.bound].find((bound) => bound.socket === socket);
        if (!rules.reportsBoundInode || file === undefined) return "EOPNOTSUPP";
        into[0] = file.inode;
        into[1] = 0;
        return 0;
      }),

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
        const found = names.get(fileOf(path));
        if (found === undefined) return "ENOENT";
        into.fill(0n);
        into[FILE_STATUS.MODE] = BigInt(CONSTANTS.S_IFSOCK);
        into[FILE_STATUS.INODE] = BigInt(found.inode);
        return 0;
      }),

    unlink: (path) =>
      caller.call("unlink", -1, () => {
        const name = fileOf(path);
        const found = names.get(name);
        if (found === undefined) return "ENOENT";
        // The open socket of another process cannot be reached any more.
        if (found.socket !== null && !hasOpen(process, found.socket))
          process.violate(`removed "${path}", which is in use`);
        names.delete(name);
        return 0;
      }),

    rename: (from, to) =>
      caller.call("rename", -1, () => {
        const found = names.get(fileOf(from));
        if (found === undefined) return "ENOENT";
        names.delete(fileOf(from));
        names.set(fileOf(to), found);
        return 0;
      }),

    link: (from, to) =>
      caller.call("link", -1, () => {
        const found = names.get(fileOf(from));
        if (found === undefined) return "ENOENT";
        if (names.has(fileOf(to))) return "EEXIST";
        names.set(fileOf(to), found);
        return 0;
      }),

    openFolder: (path) => caller.call("open", -1, () => process.make(new OpenFile("directory", fileOf(path)))),

    flock: (fd) =>
      caller.call("flock", fd, () => {
        const file = process.table[fd]?.file;
        if (file === undefined) {
          process.violate(`locked descriptor ${fd}, which is not open`);
          return "EBADF";
        }
        const holder = machine.locks.get(file.name);
        if (holder !== undefined && holder !== file && holder.references > 0) return "EWOULDBLOCK";
        machine.locks.set(file.name, file);
        return 0;
      }),

    // There is no libuv.
    keepPath: (fd) => caller.call("keepPath", fd, () => "EOPNOTSUPP"),
  };
}

/** Whether a descriptor of a process refers to a file. */
function hasOpen({ table }: Process, file: OpenFile): boolean {
  return table.some((descriptor) => descriptor?.file === file);
}

/** Gives a socket a name; false: the name is taken. */
export function bindSocket(machine: Machine, socket: Socket, path: Uint8Array): boolean {
  // Linux chooses five hexadecimal digits in the abstract namespace.
  const chosen = path.length === 0 ? `\0${machine.nextChosenName().toString(16).padStart(5, "0")}` : null;
  const name = chosen ?? Buffer.from(path).toString("latin1");
  const key = keyOf(name, socket.type);
  if (machine.names.has(key)) return false;
  const file = { socket, inode: machine.freeInode() };
  machine.names.set(key, file);
  machine.bound.add(file);
  socket.path = Buffer.from(name, "latin1");
  return true;
}

/** The socket that is bound to a path; else the error of a connect or send to it. */
export function find(machine: Machine, path: Uint8Array, type: SocketType): Socket | ErrnoName {
  const found = machine.names.get(keyOf(Buffer.from(path).toString("latin1"), type));
  if (found === undefined) return path[0] === 0 ? "ECONNREFUSED" : "ENOENT";
  if (found.socket === null) return type === "dgram" ? rulesOf(machine.abi).deadNameErrno : "ECONNREFUSED";
  return found.socket.type === type ? found.socket : "EPROTOTYPE";
}

/** Ends the names of a socket that is closed. */
export function unbind({ names, bound }: Machine, socket: Socket): void {
  for (const file of bound) {
    if (file.socket !== socket) continue;
    bound.delete(file);
    file.socket = null;
    // A file stays, and refuses connections; an abstract name ends with its socket.
    for (const [name, named] of names) if (named === file && name.startsWith("\0")) names.delete(name);
  }
}

/** Writes a name where its caller finds it. */
export function reportName({ out, address }: Pick<System, "out" | "address">, path: Uint8Array | null): void {
  out[OUT.ADDRESS_LENGTH] = path === null ? -1 : path.length;
  if (path !== null) address.set(path);
}

/** Abstract names are separate for each type of socket; a relative path starts at this process's folder. */
function keyOf(name: string, type: SocketType): string {
  return name.startsWith("\0") ? `${name}\0${type}` : absolute(name);
}

function fileOf(path: string): string {
  return absolute(Buffer.from(path).toString("latin1"));
}

function absolute(name: string): string {
  return name.startsWith("/") ? name : `${Buffer.from(process.cwd()).toString("latin1")}/${name}`;
}
