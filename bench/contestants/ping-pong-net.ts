/** Two processes send each other 64 bytes in turn, with net.Socket, which carries no descriptors. */

import { Socket } from "node:net";
import { isPeer, startNetPeer } from "./peer.ts";
import { check, serve } from "./serve.ts";

const data = Buffer.alloc(64);

if (isPeer) {
  const socket = new Socket({ fd: 3 });
  socket.on("data", (bytes) => {
    check(bytes.length === 64, "one message");
    socket.write(data);
  });
} else {
  const socket = startNetPeer(import.meta.url);
  await serve(
    (rounds) =>
      new Promise<void>((resolve) => {
        let left = rounds;
        const listener = (bytes: Buffer) => {
          check(bytes.length === 64, "one message");
          if (--left > 0) socket.write(data);
          else {
            socket.off("data", listener);
            resolve();
          }
        };
        socket.on("data", listener);
        socket.write(data);
      }),
  );
  socket.destroy();
}
