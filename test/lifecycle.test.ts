/** Threads that end, processes that exit, sockets that are dropped: at every stage, nothing stays open and nothing hangs. */

import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { OwnedFd, UnixStream } from "unix-ancillary";
import * as assert from "uvu/assert";
import { again, codeOf, leakChecked, openFds, role } from "./support.ts";

const test = leakChecked("lifecycle");

/** Source of a worker that does `body` with the library. */
function worker(body: string): Worker {
  const library = JSON.stringify(fileURLToPath(import.meta.resolve("unix-ancillary")));
  return new Worker(
    `const { parentPort } = require("node:worker_threads");
     const { OwnedFd, UnixStream } = require(${library});
     (async () => { ${body} })();`,
    { eval: true },
  );
}

const exit = (one: Worker): Promise<unknown> => new Promise((resolve) => one.once("exit", resolve));
const message = (one: Worker): Promise<unknown> => new Promise((resolve) => one.once("message", resolve));

test("a worker thread passes descriptors of its own", async () => {
  const one = worker(`
    const [a, b] = UnixStream.pair();
    const waiting = b.recvFds(2);
    await a.sendFds("x", [0, 1]);
    const received = await waiting;
    received[Symbol.dispose]();
    a.close();
    b.close();
    parentPort.postMessage(received.fds.length);
  `);
  const exited = exit(one);
  assert.is(await message(one), 2);
  await exited;
});

test("what a worker leaves open is closed when it ends", async () => {
  const before = openFds().size;
  const one = worker(`
    const kept = globalThis.kept = UnixStream.pair();
    kept[0].sendFdsSync("x", [0, 1, 2]);
    kept.push(kept[1].recvFdsSync(3), OwnedFd.from(0), OwnedFd.fromRaw(OwnedFd.from(0).release()));
    parentPort.postMessage("open");
    setInterval(() => {}, 1000);
  `);
  await message(one);
  assert.ok(openFds().size >= before + 7);
  await one.terminate();
});

test("a worker that waits is terminated", async () => {
  const one = worker(`
    const [a, b] = globalThis.pair = UnixStream.pair();
    b.recvFds(1);
    a.recvFds(1);
    parentPort.postMessage("waiting");
  `);
  await message(one);
  await sleep(2);
  await one.terminate();
});

test("a worker blocked in a synchronous receive ends when its peer does", async () => {
  const [ours, theirs] = UnixStream.pair();
  const copy = OwnedFd.from(theirs).release();
  theirs.close();
  const one = worker(`
    const stream = UnixStream.from(OwnedFd.fromRaw(${copy}));
    parentPort.postMessage("blocking");
    parentPort.postMessage(stream.recvFdsSync(1).eof);
    stream.close();
  `);
  const exited = exit(one);
  await message(one);
  const answer = message(one);
  await sleep(20);
  ours.close();
  assert.is(await answer, true);
  await exited;
});

test("60 workers terminated in the middle of receiving: every descriptor is closed", async () => {
  for (let i = 0; i < 60; i++) {
    const one = worker(`
      const [a, b] = UnixStream.pair();
      parentPort.postMessage("busy");
      for (;;) {
        a.sendFdsSync("x", [0, 1, 2, 0]);
        b.recvFdsSync(4)[Symbol.dispose]();
      }
    `);
    await message(one);
    await sleep(i % 7);
    await one.terminate();
  }
});

test("a socket that is dropped while idle is collected and closed", async () => {
  const before = openFds().size;
  await (async () => {
    const [a, b] = UnixStream.pair();
    // Both have a watcher, which holds on to neither.
    const waiting = [a.recvFds(0), b.recvFds(0)];
    a.sendFdsSync("x");
    b.sendFdsSync("x");
    await Promise.all(waiting);
  })();
  for (let turn = 0; turn < 100 && openFds().size > before; turn++) {
    await sleep(10);
    globalThis.gc!();
  }
  assert.is(openFds().size, before);
});

test("an operation keeps its socket alive: collected while waiting it would never end", async () => {
  let left: UnixStream | null;
  const received = (() => {
    const [a, b] = UnixStream.pair();
    left = a;
    return b.recvFds(1);
  })();
  for (let turn = 0; turn < 10; turn++) {
    await sleep(2);
    globalThis.gc!();
  }
  left!.sendFdsSync("still there", [0]);
  const got = await received;
  assert.is(got.data.toString(), "still there");
  got[Symbol.dispose]();
  left!.close();
  left = null;
  for (let turn = 0; turn < 20; turn++) {
    await sleep(10);
    globalThis.gc!();
  }
});

/** Programs that must end by themselves, with this code, or be ended at once. */
const ENDS: Readonly<Record<string, readonly [number, string]>> = {
  "load-only": [0, ""],
  "open-and-return": [0, ""],
  "unreferenced-wait": [0, ""],
  "nothing-waits": [0, "received\n"],
  "wait-then-close": [0, "ERR_SOCKET_CLOSED\n"],
  "exit-while-waiting": [7, ""],
  "exit-while-sending": [7, ""],
  "exit-in-continuation": [7, ""],
  "throw-in-continuation": [1, ""],
  "before-exit": [0, "beforeExit\n"],
  "exit-with-worker": [7, ""],
};

for (const [name, [code, output]] of Object.entries(ENDS)) {
  test(`exit: ${name}`, async () => {
    const run = await again(import.meta.url, name);
    assert.is(run.signal, null, run.stderr);
    assert.is(run.code, code, run.stderr);
    assert.is(run.stdout, output);
  });
}

test("a process that waits does not end by itself", async () => {
  const run = await again(import.meta.url, "waits", [], { timeout: 700 });
  assert.is(run.signal, "SIGTERM");
});

async function play(program: string): Promise<void> {
  if (program === "load-only") return;
  const [a, b] = UnixStream.pair();
  switch (program) {
    case "waits":
      await b.recvFds(1);
      break;
    case "unreferenced-wait":
      b.unref().recvFds(1);
      break;
    case "nothing-waits": {
      const waiting = b.recvFds(1);
      await a.sendFds("x", [0]);
      (await waiting)[Symbol.dispose]();
      console.log("received");
      break;
    }
    case "wait-then-close": {
      const waiting = codeOf(b.recvFds(1));
      setTimeout(() => b.close(), 5);
      console.log(await waiting);
      break;
    }
    case "exit-while-waiting":
      b.recvFds(1);
      setTimeout(() => process.exit(7), 5);
      break;
    case "exit-while-sending":
      a.sendFdsAll(Buffer.alloc(5_000_000), [0]);
      setTimeout(() => process.exit(7), 5);
      break;
    case "exit-in-continuation":
      b.recvFds(1).then(() => process.exit(7));
      setTimeout(() => a.sendFds("x", [0]), 5);
      break;
    case "throw-in-continuation":
      b.recvFds(1).then(() => {
        throw new Error("of the program");
      });
      setTimeout(() => a.sendFds("x", [0]), 5);
      break;
    case "before-exit":
      process.once("beforeExit", () => {
        console.log("beforeExit");
        a.close();
        b.close();
      });
      break;
    case "exit-with-worker": {
      const one = worker(`
        const [a, b] = UnixStream.pair();
        b.recvFds(1);
        parentPort.postMessage("waiting");
      `);
      await message(one);
      process.exit(7);
    }
  }
}

if (role === undefined) test.run();
else await play(role);
