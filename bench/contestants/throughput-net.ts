/**
 * One direction, two processes, with net.Socket, which carries no descriptors. The receiver answers with a byte when everything
 * has arrived. Arguments: bytes per message; `own` (`onread` with the receiver's buffer) or `new` ("data" events).
 */

import { once } from "node:events";
import { type OnReadOpts, Socket } from "node:net";
import { args, isPeer, startNetPeer } from "./peer.ts";
import { serve } from "./serve.ts";

const bytes = Number(args[0]);

if (isPeer) {
  const order = Buffer.alloc(4);
  let ordered = 0;
  let left = 0;
  /** The number of messages, four bytes, then the messages. */
  const take = (from: Uint8Array) => {
    let rest = from;
    while (ordered < 4 && rest.length > 0) {
      order[ordered++] = rest[0]!;
      rest = rest.subarray(1);
      if (ordered === 4) left = order.readUInt32LE() * bytes;
    }
    left -= rest.length;
    if (ordered === 4 && left === 0) {
      ordered = 0;
      socket.write("x");
    }
  };
  const buffer = Buffer.alloc(Math.max(65536, bytes));
  const callback: OnReadOpts["callback"] = (length, into) => {
    take(into.subarray(0, length));
    return true;
  };
  // @ts-expect-error: the types have `onread` for connect() only, but the constructor reads it.
  const socket: Socket = new Socket(args[1] === "own" ? { fd: 3, onread: { buffer, callback } } : { fd: 3 });
  if (args[1] === "own") socket.resume();
  else socket.on("data", take);
} else {
  const socket = startNetPeer(import.meta.url);
  const data = Buffer.alloc(bytes);
  await serve(async (rounds) => {
    const order = Buffer.alloc(4);
    order.writeUInt32LE(rounds);
    socket.write(order);
    let left = rounds;
    const pump = () => {
      while (left > 0) {
        left--;
        if (!socket.write(data)) {
          socket.once("drain", pump);
          return;
        }
      }
    };
    pump();
    await once(socket, "data");
  });
  socket.destroy();
}
