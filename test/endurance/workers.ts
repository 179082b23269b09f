/** A hundred worker threads, ended in the middle of sends and receives: everything they owned is closed. */

import { openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { UnixStream } from "unix-ancillary";
import { openFds } from "../support.ts";
import { amount, check, sameDescriptors } from "./measure.ts";

const WORKERS = amount(100);

if (!isMainThread) {
  const file = openSync("/dev/null", "r");
  const pairs = Array.from({ length: 4 }, () => UnixStream.pair());
  const kept: unknown[] = [];
  for (const [a, b] of pairs) {
    void (async () => {
      for (;;) await a.sendFdsAll(Buffer.alloc(100_000), [file, file]);
    })();
    void (async () => {
      for (let i = 0; ; i++) {
        const message = await b.recvFds(2, { bufferSize: 65536 });
        // Some stay open: the end of the thread must close them.
        if (i % 7 === 0 && kept.length < 50) kept.push(message);
        else message[Symbol.dispose]();
      }
    })();
  }
  // A receive that waits for ever, and synchronous calls in between.
  const [c, d] = UnixStream.pair();
  d.recvFds(1).catch(() => {});
  setInterval(() => {
    c.sendFdsSync("x", [file]);
    pairs[0]![0].trySendFds("y", [file]);
  }, 1);
  parentPort!.postMessage("started");
} else {
  // A living thread takes over what another thread had received when it ended.
  for (const end of UnixStream.pair()) end.close();
  // The first worker opens descriptors that the process keeps.
  let before = 0;
  for (let i = 0; i < WORKERS + 2; i++) {
    if (i === 2) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      before = openFds().size;
    }
    const worker = new Worker(fileURLToPath(import.meta.url));
    await new Promise((resolve) => worker.once("message", resolve));
    await new Promise((resolve) => setTimeout(resolve, i % 10));
    check((await worker.terminate()) === 1, "the worker ended by itself");
  }
  // Node itself closes files of openSync in a worker.
  await sameDescriptors(before);
  console.log(`${WORKERS} workers started and ended, ${before} descriptors before and after`);
}
