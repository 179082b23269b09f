/** {@link file://./frames.ts} with net.Socket, which carries no descriptors, and the frames written plainly. Argument: bytes of payload. */

import { once } from "node:events";
import { Socket } from "node:net";
import { Frames, writeHeader } from "./framing.ts";
import { args, isPeer, startNetPeer } from "./peer.ts";
import { check, serve } from "./serve.ts";

const bytes = Number(args[0]);

/** Sends a frame; false: wait for "drain" before the next. */
function send(socket: Socket, payload: Buffer, id: number): boolean {
  socket.cork();
  socket.write(writeHeader(0, payload.length, id));
  const room = socket.write(payload);
  socket.uncork();
  return room;
}

if (isPeer) {
  const socket = new Socket({ fd: 3 });
  let left = -1;
  // The number of frames comes first.
  const frames = new Frames((payload) => {
    if (left === -1) left = payload.readUInt32LE();
    else {
      check(payload.length === bytes, "one frame");
      left--;
    }
    if (left > 0) return;
    left = -1;
    send(socket, Buffer.from("x"), 0);
  });
  socket.on("data", (data) => frames.push(data));
} else {
  const socket = startNetPeer(import.meta.url);
  // Not zeros: pages that were never written are all the same page.
  const data = Buffer.alloc(bytes, 1);
  await serve(async (rounds) => {
    const order = Buffer.alloc(4);
    order.writeUInt32LE(rounds);
    send(socket, order, 0);
    let sent = 0;
    const pump = () => {
      while (sent < rounds) {
        if (!send(socket, data, ++sent)) {
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
