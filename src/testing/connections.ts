/** Sockets, and how they are connected. */

import type { Abi } from "../core/abis/table.ts";
import type { System } from "../system/system.ts";
import { made } from "./descriptors.ts";
import { discard, Socket } from "./files.ts";
import type { VirtualKernel, VirtualProcess } from "./kernel.ts";
import { bindSocket, find, NO_PATH, unbind } from "./names.ts";
import { tellsSender } from "./options.ts";
import { errnoOf } from "./rules.ts";
import { maySend } from "./send.ts";
import { enter, socketOf } from "./system-call.ts";

export function connectionCalls(
  process: VirtualProcess,
): Pick<System, "socketpair" | "socket" | "connect" | "listen" | "accept" | "shutdown"> {
  const { kernel } = process;
  const { abi } = kernel;
  return {
    socketpair(type, pair) {
      const fault = enter(process, "socketpair", -1);
      if (fault?.errno !== undefined) return errnoOf(fault.errno);
      if (process.free < 2) return errnoOf("EMFILE");
      const [a, b] = [newSocket(process, type), newSocket(process, type)];
      a.connect(b);
      a.nonblocking = abi.os !== "linux";
      b.nonblocking = a.nonblocking;
      pair[0] = made(process, a);
      pair[1] = made(process, b);
      return 0;
    },

    socket(type) {
      const fault = enter(process, "socket", -1);
      if (fault?.errno !== undefined) return errnoOf(fault.errno);
      const socket = newSocket(process, type);
      socket.nonblocking = true;
      return made(process, socket);
    },

    connect(fd, to) {
      const fault = enter(process, "connect", fd);
      if (fault?.errno !== undefined) return errnoOf(fault.errno);
      const socket = socketOf(process, fd, "connected");
      if (typeof socket === "number") return socket;
      // Who can be told of gets a name, whatever becomes of it (Linux, unix_autobind).
      if (socket.path === null && tellsSender(abi, socket)) bindSocket(kernel, socket, NO_PATH);
      const target = find(kernel, to, socket.type);
      if (typeof target === "string") return errnoOf(target);
      if (socket.type === "dgram") return connectDatagram(kernel, socket, target);
      if (socket.peerOwner !== null) return errnoOf("EISCONN");
      if (target.backlog === null) return errnoOf("ECONNREFUSED");
      while (target.backlog.length > target.backlogLimit) {
        if (abi.os !== "linux") return errnoOf("ECONNREFUSED");
        if (socket.nonblocking) return errnoOf("EAGAIN");
        if (!kernel.waits(Infinity)) return errnoOf("EDEADLK");
        if (target.references === 0) return errnoOf("ECONNREFUSED");
      }
      const accepted = new Socket(socket.type, target.owner, () => {});
      prepare(abi, accepted);
      accepted.peerNotAccepted = true;
      accepted.path = target.path;
      for (const [name, value] of target.options) accepted.options.set(name, value);
      socket.connect(accepted);
      accepted.references++;
      target.backlog.push(accepted);
      kernel.progressed();
      return 0;
    },

    listen(fd, backlog) {
      const fault = enter(process, "listen", fd);
      if (fault?.errno !== undefined) return errnoOf(fault.errno);
      const socket = socketOf(process, fd, "listened on");
      if (typeof socket === "number") return socket;
      if (socket.type === "dgram") return errnoOf("EOPNOTSUPP");
      if (socket.path === null) return errnoOf("EINVAL");
      socket.backlog ??= [];
      socket.backlogLimit = backlog;
      return 0;
    },

    accept(fd) {
      const fault = enter(process, "accept", fd);
      if (fault?.errno !== undefined) return errnoOf(fault.errno);
      const socket = socketOf(process, fd, "accepted from");
      if (typeof socket === "number") return socket;
      if (socket.backlog === null) return errnoOf("EINVAL");
      // The number first: without one the connection goes on waiting (Linux, __sys_accept4).
      if (Math.min(fault?.room ?? Infinity, process.free) < 1) return errnoOf("EMFILE");
      const accepted = socket.backlog.shift();
      if (accepted === undefined) return errnoOf("EAGAIN");
      accepted.peerNotAccepted = false;
      accepted.nonblocking = abi.os !== "linux";
      const number = made(process, accepted);
      accepted.references--;
      kernel.progressed();
      return number;
    },

    shutdown(fd, how) {
      const fault = enter(process, "shutdown", fd);
      if (fault?.errno !== undefined) return errnoOf(fault.errno);
      const socket = socketOf(process, fd, "shut down");
      if (typeof socket === "number") return socket;
      // Linux does not ask (unix_shutdown).
      if (socket.peerOwner === null && abi.os !== "linux") return errnoOf("ENOTCONN");
      socket.shut(how !== 1, how !== 0);
      kernel.progressed();
      return 0;
    },
  };
}

function newSocket(process: VirtualProcess, type: number): Socket {
  const { kernel } = process;
  const { SOCK_STREAM, SOCK_DGRAM } = kernel.abi;
  const name = type === SOCK_STREAM ? "stream" : type === SOCK_DGRAM ? "dgram" : "seqpacket";
  const socket = new Socket(name, process.sender, (gone) => unbind(kernel, gone));
  prepare(kernel.abi, socket);
  return socket;
}

function prepare(abi: Abi, socket: Socket): void {
  socket.resetError = -errnoOf("ECONNRESET");
  socket.resetsUnread = abi.os === "linux";
}

function connectDatagram(kernel: VirtualKernel, socket: Socket, target: Socket): number {
  if (!maySend(kernel.abi, socket, target)) return errnoOf("EPERM");
  const before = socket.peer;
  socket.peer = target;
  socket.peerOwner = target.owner;
  // What had come from the peer before goes, and it is told (Linux, unix_dgram_disconnected).
  if (before !== null && before !== target && kernel.abi.os === "linux" && socket.queue.length > 0) {
    for (const segment of socket.queue.splice(0)) discard(segment);
    if (before.references > 0 && before.peer === socket) before.error = socket.resetError;
  }
  kernel.progressed();
  return 0;
}
