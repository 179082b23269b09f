/** A thousand connections at once between two processes, a descriptor each way on each. */

import { openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { UnixListener, UnixStream } from "unix-ancillary";
import { openFds, socketPath } from "../support.ts";
import { amount, check, inherited, perSecond, role, sameDescriptors, startPeer } from "./measure.ts";

const CONNECTIONS = amount(1000);

if (role === "serve") {
  const control = inherited();
  const { data, fds } = await control.recvFds(1);
  const listener = UnixListener.from(fds[0]!);
  check(data.toString() === "listen", "the listener");
  let served = 0;
  for await (const stream of listener) {
    void (async () => {
      for await (const message of stream) {
        await stream.sendFdsAll(message.data, message.fds);
        message[Symbol.dispose]();
      }
      stream.close();
      if (++served === CONNECTIONS) process.exit(0);
    })();
  }
}

const file = openSync("/dev/null", "r");
const path = socketPath();
const listener = UnixListener.bind(path, { backlog: 128 });
const { stream: control, exited } = startPeer(fileURLToPath(import.meta.url), "serve");
await control.sendFds("listen", [listener]);
const before = openFds().size;
const start = process.hrtime.bigint();
const streams = await Promise.all(Array.from({ length: CONNECTIONS }, () => UnixStream.connect(path)));
check(openFds().size >= before + CONNECTIONS, "not all are open");
await Promise.all(
  streams.map(async (stream, i) => {
    for (let round = 0; round < 5; round++) {
      await stream.sendFds(`${i} ${round}`, [file]);
      const message = await stream.recvFds(1);
      check(message.data.toString() === `${i} ${round}` && message.fds.length === 1, `connection ${i}`);
      message[Symbol.dispose]();
    }
  }),
);
const speed = perSecond(5 * CONNECTIONS, start);
for (const stream of streams) stream.close();
check((await exited) === 0, "the server failed");
await sameDescriptors(before);
control.close();
listener.close();
console.log(`${CONNECTIONS.toLocaleString("en")} connections at once, five round trips on each, ${speed}`);
