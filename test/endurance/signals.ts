/** A hundred thousand transfers while a third process sends signals to both as fast as it can: no EINTR is seen, no transfer lost. */

import { spawn } from "node:child_process";
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

const TRANSFERS = amount(100_000);
let signals = 0;
for (const name of ["SIGUSR2", "SIGCHLD", "SIGWINCH"] as const) process.on(name, () => signals++);

if (role === "echo") {
  const stream = inherited();
  // Both kinds of calls: synchronous ones wait in poll(2), asynchronous ones in the event loop.
  for (let i = 0; ; i++) {
    const message = i % 2 === 0 ? await stream.recvFds(1) : stream.recvFdsSync(1);
    if (message.eof) break;
    if (i % 3 === 0) await stream.sendFdsAll(message.data, message.fds);
    else stream.sendFdsAllSync(message.data, message.fds);
    message[Symbol.dispose]();
  }
  process.exit(0);
}

const file = openSync("/dev/null", "r");
const { child, stream, exited } = startPeer(fileURLToPath(import.meta.url), "echo");
// When it answers, its handlers are installed: an earlier signal would end it.
await stream.sendFds("ready");
check((await stream.recvFds(0)).data.toString() === "ready", "the peer is ready");
const before = openFds().size;
const storm = spawn(
  "sh",
  [
    "-c",
    `while kill -USR2 ${process.pid} ${child.pid} && kill -WINCH ${process.pid} ${child.pid} && kill -CHLD ${process.pid} ${child.pid}; do :; done`,
  ],
  {
    stdio: "ignore",
  },
);
const start = process.hrtime.bigint();
let warm = 0;
for (let i = 0; i < TRANSFERS; i++) {
  if (i === TRANSFERS / 4) warm = resident();
  const data = `${i}`;
  if (i % 2 === 0) await stream.sendFds(data, [file]);
  else stream.sendFdsSync(data, [file]);
  const message = i % 5 === 0 ? stream.recvFdsSync(1) : await stream.recvFds(1);
  check(message.data.toString() === data && message.fds.length === 1, `transfer ${i} came as "${message.data}"`);
  message[Symbol.dispose]();
  // Signal handlers run between turns of the event loop.
  if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
}
const growth = await growthSince(warm);
const speed = perSecond(TRANSFERS, start);
storm.kill("SIGKILL");
await new Promise((resolve) => storm.once("exit", resolve));
check(signals > 100, `only ${signals} signals came`);
await sameDescriptors(before);
stream.close();
check((await exited) === 0, "the peer failed");
console.log(
  `${TRANSFERS.toLocaleString("en")} transfers there and back, ${speed}, ${signals.toLocaleString("en")} signals seen here, memory ${growth} times that after a quarter`,
);
