/** Peers killed at random points of a thousand transfers (`--seed N`): a documented error or the end, and no leak. */

import { openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { ReceivedFds } from "unix-ancillary";
import { generator } from "../../src/testing/random.ts";
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

const TRANSFERS = amount(1000);
const PEERS = amount(100);

if (role === "echo") {
  const stream = inherited();
  for await (const message of stream) {
    await stream.sendFdsAll(message.data, message.fds);
    message[Symbol.dispose]();
  }
  process.exit(0);
}

const seed = Number(process.argv[process.argv.indexOf("--seed") + 1]) || 1;
const random = generator(seed);

const file = openSync("/dev/null", "r");
const large = Buffer.alloc(300_000);
const before = openFds().size;
const start = process.hrtime.bigint();
const ends = new Map<string, number>();
let transfers = 0;
let killed = 0;
let warm = 0;
while (killed < 2 * PEERS || transfers < TRANSFERS) {
  // By half of the run every kind of failure has occurred; after a quarter it had not, and memory still grew by 2 %.
  if (killed === PEERS) warm = resident();
  const { child, stream, exited } = startPeer(fileURLToPath(import.meta.url), "echo");
  const dies = 1 + random(20);
  let code = "none";
  try {
    for (let i = 0; i < 40; i++) {
      // In the middle of a large message, after several small ones, or with nothing in flight.
      const data = random(3) === 0 ? large : "small";
      const sending = stream.sendFdsAll(data, [file, file]);
      const receiving = (async () => {
        let left = data.length;
        let came = 0;
        while (left > 0) {
          const message: ReceivedFds = await stream.recvFds(2, { bufferSize: 65536 });
          if (message.eof) return message.eof;
          left -= message.data.length;
          came += message.fds.length;
          message[Symbol.dispose]();
        }
        check(came === 2, `${came} descriptors came back of 2`);
        return false;
      })();
      if (i === dies) {
        for (let turns = random(4); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
        child.kill("SIGKILL");
      }
      const [sent, received] = await Promise.allSettled([sending, receiving]);
      for (const one of [sent, received]) if (one.status === "rejected") throw one.reason;
      if (received.status === "fulfilled" && received.value) {
        code = "end";
        break;
      }
      transfers++;
    }
  } catch (error) {
    ({ code = `${error}` } = error as { code?: string });
  }
  check(["end", "EPIPE", "ECONNRESET"].includes(code), `seed ${seed}, peer ${killed}: ended with ${code}`);
  ends.set(code, (ends.get(code) ?? 0) + 1);
  stream.close();
  await exited;
  killed++;
}
const growth = await growthSince(warm);
const speed = perSecond(transfers, start);
await sameDescriptors(before);
console.log(
  `${killed} peers killed in ${transfers} transfers, seed ${seed}, ${speed}, memory ${growth} times that after the first ${PEERS}: ${[...ends].map(([what, times]) => `${what} ${times}`).join(", ")}`,
);
