/** Two processes send each other 64 bytes and a descriptor in turn with usocket, and close what they receive. */

import { closeSync, openSync } from "node:fs";
import { createRequire } from "node:module";
import { OwnedFd } from "unix-ancillary";
import { isPeer, startPeer } from "./peer.ts";
import { check, serve } from "./serve.ts";

/** The part of usocket used here: it has no types. */
interface USocket {
  on(event: "readable", listener: () => void): void;
  read(bytes: number, fds: number): { data: Buffer | null; fds: number[] } | null;
  write(message: { data: Buffer; fds: number[] }): void;
  destroy(): void;
}

const require = createRequire(new URL("../../../bench/rivals/", import.meta.url));
const { USocket } = require("usocket") as { USocket: new (options: { fd: number }) => USocket };

const data = Buffer.alloc(64);
const file = openSync("/dev/null", "r");
let fd = 3;
if (!isPeer) {
  const stream = startPeer(import.meta.url);
  fd = OwnedFd.from(stream).release();
  stream.close();
}
const socket = new USocket({ fd });
let came: () => void = () => socket.write({ data, fds: [file] });
socket.on("readable", () => {
  for (;;) {
    const message = socket.read(64, 1);
    if (message === null) return;
    check(message.data?.length === 64 && message.fds.length === 1, "one message");
    closeSync(message.fds[0]!);
    came();
  }
});
// This starts reading.
socket.read(0, 0);

if (!isPeer) {
  await serve(
    (rounds) =>
      new Promise<void>((resolve) => {
        let left = rounds;
        came = () => {
          if (--left > 0) socket.write({ data, fds: [file] });
          else resolve();
        };
        socket.write({ data, fds: [file] });
      }),
  );
  socket.destroy();
  process.exit();
}
