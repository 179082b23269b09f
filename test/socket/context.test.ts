/** The asynchronous context: code of the caller's runs in the caller's own, and nothing is kept of it. */

import { AsyncLocalStorage } from "node:async_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { FdChannel, UnixStream } from "unix-ancillary";
import * as assert from "uvu/assert";
import { again, leakChecked, role } from "../support.ts";

const test = leakChecked("context");
const storage = new AsyncLocalStorage<{ user: string }>();

/** A descriptor whose getter notes the store that it runs with. */
const noting = (seen: (string | undefined)[]) => ({
  get fd() {
    seen.push(storage.getStore()?.user);
    return 0;
  },
});

if (role === "first") {
  // The first use of the library, and the first wait, happen in a context.
  const ref = await (async () => {
    const store = { user: "first" };
    await storage.run(store, async () => {
      const [a, b] = UnixStream.pair();
      const waiting = b.recvFds(1);
      await a.sendFds("x", [noting([])]);
      (await waiting)[Symbol.dispose]();
      const sent = a.sendFdsAll(Buffer.alloc(1 << 20));
      for (let left = 1 << 20; left > 0; ) left -= (await b.recvFds(0)).data.length;
      await sent;
      a.close();
      b.close();
    });
    return new WeakRef(store);
  })();
  for (let i = 0; i < 10; i++) {
    (globalThis as unknown as { gc(): void }).gc();
    await sleep(10);
  }
  console.log(ref.deref() === undefined ? "collected" : "kept");
}

for (const backend of ["", "thread"]) {
  test(`the store of the first that waits is not kept ${backend && "by the thread"}`, async () => {
    const { stdout, stderr } = await again(import.meta.url, "first", [], {
      env: { UNIX_ANCILLARY_READINESS: backend },
    });
    assert.is(stderr, "");
    assert.is(stdout, "collected\n");
  });
}

test("a getter that is read when its turn comes runs in the context of its caller", async () => {
  const [a, b] = UnixStream.pair();
  const seen: (string | undefined)[] = [];
  const sends = [
    storage.run({ user: "first" }, () => a.sendFdsAll(Buffer.alloc(1 << 20))),
    storage.run({ user: "second" }, () => a.sendFds("x", [noting(seen)])),
    storage.run({ user: "third" }, () => a.sendFdsAll("x", [noting(seen)])),
    a.sendFds("x", [noting(seen)]),
  ];
  const before = seen.splice(0);
  assert.equal(before, ["second", "third", undefined]);
  for (let left = (1 << 20) + 3; left > 0; ) {
    const message = await b.recvFds(1);
    left -= message.data.length;
    message[Symbol.dispose]();
  }
  await Promise.all(sends);
  assert.equal([...new Set(seen)], ["second", "third", undefined]);
  assert.equal(
    seen.filter((user, i) => user !== seen[i - 1]),
    ["second", "third", undefined],
  );
  a.close();
  b.close();
});

test("a getter of a frame that waits for its turn runs in the context of its caller", async () => {
  const [a, b] = FdChannel.pair();
  const seen: (string | undefined)[] = [];
  const sends = [
    storage.run({ user: "first" }, () => a.send(Buffer.alloc(1 << 20))),
    storage.run({ user: "second" }, () => a.send("x", [noting(seen)])),
    storage.run({ user: "third" }, () => a.send("x", [noting(seen)])),
  ];
  seen.length = 0;
  for (let i = 0; i < 3; i++) (await b.recv())?.[Symbol.dispose]();
  await Promise.all(sends);
  assert.equal(
    seen.filter((user, i) => user !== seen[i - 1]),
    ["second", "third"],
  );
  a.close();
  b.close();
});

test("a listener of a foreign signal is removed in the context of its caller, and leaves no store behind", async () => {
  const [a, b] = UnixStream.pair();
  const seen: (string | undefined)[] = [];
  const signal = {
    aborted: false,
    addEventListener() {},
    removeEventListener() {
      seen.push(storage.getStore()?.user);
      storage.enterWith({ user: "left behind" });
    },
  } as unknown as AbortSignal;
  for (const user of ["first", "second"]) {
    const waiting = storage.run({ user }, () => b.recvFds(0, { signal }));
    await sleep(1);
    a.sendFdsSync("x");
    await waiting;
  }
  assert.equal(seen, ["first", "second"]);
  a.close();
  b.close();
});

if (role === undefined) test.run();
