/**
 * {@link file://./frames.ts} with Node's `child_process.send` and `serialization: "advanced"`. Arguments: bytes of payload; handles
 * of each message, 0 or 1 (a net.Server, which the receiver closes).
 */

import { fork } from "node:child_process";
import { once } from "node:events";
import { createServer, Server } from "node:net";
import { fileURLToPath } from "node:url";
import { args, isPeer, options } from "./peer.ts";
import { check, serve } from "./serve.ts";

const [bytes, count] = args.map(Number) as [number, number];

if (isPeer) {
  let left = 0;
  process.on("message", (message, handle) => {
    // The number of messages comes first.
    if (typeof message === "number") left = message;
    else {
      check((message as Uint8Array).byteLength === bytes && handle instanceof Server === count > 0, "one message");
      (handle as Server | undefined)?.close();
      if (--left === 0) process.send!("done");
    }
  });
  process.on("disconnect", () => process.exit());
  process.send!("ready");
} else {
  const child = fork(fileURLToPath(import.meta.url), args, { ...options, serialization: "advanced" });
  await once(child, "message");
  // Not zeros: pages that were never written are all the same page.
  const data = Buffer.alloc(bytes, 1);
  let server: Server | undefined;
  if (count > 0) {
    // An abstract name, which leaves no file behind.
    server = createServer().listen(`\0unix-ancillary-bench-frames-${process.pid}`);
    await once(server, "listening");
  }
  const send = () =>
    new Promise<void>((resolve, reject) => {
      const sent = (error: Error | null) => (error === null ? resolve() : reject(error));
      // It returns false when much waits to be sent: then wait until this has been.
      if (child.send(data, server, { keepOpen: true }, sent)) resolve();
    });
  await serve(async (rounds) => {
    const done = once(child, "message");
    child.send(rounds);
    for (let i = 0; i < rounds; i++) await send();
    await done;
  });
  child.disconnect();
  process.exit();
}
