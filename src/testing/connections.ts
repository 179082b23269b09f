/** Sockets, and how they are connected. */

import type { System } from "../system/system.ts";
import { errnoOf } from "./errno.ts";
import { discard, Socket } from "./files.ts";
import type { Machine, Process } from "./machine.ts";
import { bindSocket, find, NO_PATH, unbind } from "./names.ts";
import { namesSender } from "./options.ts";
import { maySend } from "./send.ts";
import type { Caller } from "./system-call.ts";
import { rulesOf } from "./systems.ts";

type Calls = "socketpair" | "socket" | "connect" | "listen" | "accept" | "shutdown";

export function connectionCalls(caller: Caller): Pick<System, Calls> {
  const { process, machine, rules, events } = caller;
  return {
    socketpair: (type, pair) =>
      caller.call("socketpair", -1, () => {
        if (process.free < 2) return "EMFILE";
        const [a, b] = [newSocket(process, type), newSocket(process, type)];
        a.connect(b);
        a.nonblocking = !rules.connectedBlocks;
        b.nonblocking = a.nonblocking;
        pair[0] = process.make(a);
        pair[1] = process.make(b);
        return 0;
      }),

    socket: (type) =>
      caller.call("socket", -1, () => {
        const socket = newSocket(process, type);
        socket.nonblocking = true;
        return process.make(socket);
      }),

    connect: (fd, to) =>
      caller.socketCall("connect", fd, "connected", (socket) => {
        // A socket whose messages name their sender gets a name, even if the call fails later (Linux, unix_autobind).
        if (socket.path === null && namesSender(machine.abi, socket)) bindSocket(machine, socket, NO_PATH);
        const target = find(machine, to, socket.type);
        if (typeof target === "string") return target;
        if (socket.type === "dgram") {
          const error = connectDatagram(machine, socket, target);
          if (error !== null) return error;
          events.progressed();
          return 0;
        }
        if (socket.peerOwner !== null) return "EISCONN";
        if (target.backlog === null) return "ECONNREFUSED";
        while (target.backlog.length > target.backlogLimit) {
          if (!rules.connectWaits) return "ECONNREFUSED";
          if (socket.nonblocking) return "EAGAIN";
          if (!events.waits(Infinity)) return "EDEADLK";
          if (target.references === 0) return "ECONNREFUSED";
        }
        const accepted = new Socket(socket.type, target.owner, () => {});
        prepare(machine, accepted);
        accepted.peerNotAccepted = true;
        accepted.path = target.path;
        if (rules.inheritsAt === "connect") inherit(caller, target, accepted);
        socket.connect(accepted);
        accepted.references++;
        target.backlog.push(accepted);
        events.progressed();
        return 0;
      }),

    listen: (fd, backlog) =>
      caller.socketCall("listen", fd, "listened on", (socket) => {
        if (socket.type === "dgram") return "EOPNOTSUPP";
        if (socket.path === null) return "EINVAL";
        socket.backlog ??= [];
        socket.backlogLimit = backlog;
        return 0;
      }),

    accept: (fd) =>
      caller.socketCall("accept", fd, "accepted from", (socket, fault) => {
        if (socket.backlog === null) return "EINVAL";
        // The number comes first: without one the connection keeps waiting (Linux, __sys_accept4).
        if (Math.min(fault?.room ?? Infinity, process.free) < 1) return "EMFILE";
        const accepted = socket.backlog.shift();
        if (accepted === undefined) return "EAGAIN";
        accepted.peerNotAccepted = false;
        if (rules.inheritsAt === "accept") inherit(caller, socket, accepted);
        accepted.nonblocking = !rules.connectedBlocks;
        const number = process.make(accepted);
        accepted.references--;
        events.progressed();
        return number;
      }),

    shutdown: (fd, how) =>
      caller.socketCall("shutdown", fd, "shut down", (socket) => {
        if (socket.peerOwner === null && rules.shutdownNeedsPeer) return "ENOTCONN";
        if (how !== 1 && rules.shutdownDrops) for (const segment of socket.queue.splice(0)) discard(segment);
        socket.shut(how !== 1, how !== 0);
        events.progressed();
        return 0;
      }),
  };
}

/** A connection gets the options of its listener. */
function inherit({ machine, rules }: Caller, listener: Socket, accepted: Socket): void {
  const { SO_SNDBUF, SO_RCVBUF } = machine.abi;
  for (const [name, value] of listener.options)
    if (rules.inheritsBuffers || (name !== SO_SNDBUF && name !== SO_RCVBUF)) accepted.options.set(name, value);
}

function newSocket(process: Process, type: number): Socket {
  const { machine } = process;
  const { SOCK_STREAM, SOCK_DGRAM } = machine.abi;
  const name = type === SOCK_STREAM ? "stream" : type === SOCK_DGRAM ? "dgram" : "seqpacket";
  const socket = new Socket(name, process, (closed) => unbind(machine, closed));
  prepare(machine, socket);
  return socket;
}

function prepare({ abi }: Machine, socket: Socket): void {
  socket.resetError = -errnoOf("ECONNRESET");
  const { emptyFirstIsUnread, resetsUnread } = rulesOf(abi);
  socket.resetsUnread = resetsUnread;
  socket.emptyFirstIsUnread = emptyFirstIsUnread;
}

/** The error, or null. */
function connectDatagram(machine: Machine, socket: Socket, target: Socket): "EPERM" | null {
  if (!maySend(machine.abi, socket, target)) return "EPERM";
  const before = socket.peer;
  socket.peer = target;
  socket.peerOwner = target.owner;
  // What the former peer had sent is lost, and that peer gets an error (Linux, unix_dgram_disconnected).
  const drops = rulesOf(machine.abi).connectedDatagrams && socket.queue.length > 0;
  if (before !== null && before !== target && drops) {
    for (const segment of socket.queue.splice(0)) discard(segment);
    if (before.references > 0 && before.peer === socket) before.error = socket.resetError;
  }
  return null;
}
