/** A connection between two net.Sockets: its descriptor, and the bytes that were read from it. */

import type { Socket } from "node:net";
import { giveTo, OwnedFd } from "../fd/owned-fd.ts";
import { socketOver } from "../socket/stream.ts";

/** What is left of a net.Socket. */
export interface Connection {
  readonly fd: OwnedFd;
  /** Bytes that were read from it. */
  readonly head: Uint8Array;
  readonly allowHalfOpen: boolean;
}

/** Takes the connection out of a socket, with `head` and the bytes that it has read. If this throws, the socket is as before. */
export function detach(socket: Socket, head: Buffer): Connection {
  const { allowHalfOpen } = socket;
  // They would get what is read here.
  const listeners = socket.rawListeners("data") as ((data: Buffer) => void)[];
  // Each: after removeAllListeners Node believes that there are some, and gives them what is put back.
  for (const listener of listeners) socket.off("data", listener);
  const unread: Buffer[] = [];
  // While it flows, `read()` returns one chunk of several; `read` of all bytes would raise its high-water mark.
  const read = (): Buffer | null => (socket.readableLength > 0 ? socket.read() : null);
  for (let chunk = read(); chunk !== null; chunk = read()) unread.push(chunk);
  let fd: OwnedFd | undefined;
  try {
    fd = OwnedFd.from(socket);
    // Node reads nothing more: this closes its descriptor at once. The duplicate keeps the connection open.
    socket.destroy();
  } catch (error) {
    fd?.close();
    if (unread.length > 0) socket.unshift(Buffer.concat(unread));
    for (const listener of listeners) socket.on("data", listener);
    throw error;
  }
  return { fd, head: Buffer.concat([head, ...unread]), allowHalfOpen };
}

/** A net.Socket of the connection, which reads what was read from it before. If this throws, the connection is as before. */
export function socketOf({ fd, head, allowHalfOpen }: Connection, pauseOnCreate = false): Socket {
  // As a server of Node's with pauseOnConnect makes it.
  const options = { readable: true, writable: true, allowHalfOpen, pauseOnCreate };
  const socket = giveTo(fd, (number) => socketOver(options, number));
  if (head.length > 0) socket.unshift(head);
  return socket;
}
