/** Two million messages between two processes, a descriptor on one in four: memory flat, number of descriptors unchanged. */

import { openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { openFds } from "../support.ts";
import {
  amount,
  check,
  growthSince,
  inherited,
  perSecond,
  resident,
  role,
  sameDescriptors,
  startPeer,
} from "./measure.ts";

const MESSAGES = amount(2_000_000);
const BYTES = 32;

if (role === "echo") {
  const stream = inherited();
  for await (const message of stream) {
    await stream.sendFdsAll(message.data, message.fds);
    message[Symbol.dispose]();
  }
  process.exit(0);
}

const file = openSync("/dev/null", "r");
const { stream, exited } = startPeer(fileURLToPath(import.meta.url), "echo");
const before = openFds().size;
const start = process.hrtime.bigint();
const half = MESSAGES / 2;
let warm = 0;
let bytes = 0;
let fds = 0;
const receiving = (async () => {
  while (bytes < half * BYTES) {
    const message = await stream.recvFds(16);
    check(!message.eof && message.surplus === 0, "the end, or a surplus");
    bytes += message.data.length;
    fds += message.fds.length;
    message[Symbol.dispose]();
    if (warm === 0 && bytes >= (half * BYTES) / 4) warm = resident();
  }
})();
const data = Buffer.alloc(BYTES);
for (let i = 0; i < half; i++) {
  await stream.sendFdsAll(data, i % 4 === 0 ? [file] : []);
  // No more in flight than the kernel accepts.
  while (i * BYTES - bytes > 64 * 1024) await new Promise((resolve) => setImmediate(resolve));
}
await receiving;
check(fds === Math.ceil(half / 4), `${fds} descriptors came back of ${Math.ceil(half / 4)}`);
const growth = await growthSince(warm);
const speed = perSecond(MESSAGES, start);
await sameDescriptors(before);
stream.close();
check((await exited) === 0, "the peer failed");
console.log(
  `${MESSAGES.toLocaleString("en")} messages, ${speed}, ${fds} descriptors there and back, memory ${growth} times that after a quarter`,
);
