/**
 * What a wait costs, and what it leaves behind when it has ended: no processor time, no listener on a signal, no timer, and nothing
 * that keeps the process alive.
 */

import { spawn } from "node:child_process";
import { getEventListeners } from "node:events";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { UnixDatagram, UnixListener, UnixStream } from "unix-ancillary";
import * as assert from "uvu/assert";
import { again, codeOf, crowd, leakChecked, leastProcessorShare, role, socketPath } from "../support.ts";

const test = leakChecked("ends");

const timers = (): number =>
  process.getActiveResourcesInfo().filter((what) => /^(Timeout|Immediate)$/.test(what)).length;

test("no listener stays on a signal when its operations have ended, whatever ended them", async () => {
  const { signal } = new AbortController();
  const [a, b] = UnixStream.pair();
  const received = [b.recvFds(0, { signal }), b.recvFds(0, { signal })];
  a.sendFdsSync("x");
  await received[0];
  assert.is(getEventListeners(signal, "abort").length, 1, "one listener for all that wait");
  a.sendFdsSync("x");
  await Promise.all(received);
  assert.equal(getEventListeners(signal, "abort"), [], "after a receive");
  const closed = codeOf(b.recvFds(0, { signal }));
  b.close();
  assert.is(await closed, "ERR_SOCKET_CLOSED");
  assert.equal(getEventListeners(signal, "abort"), [], "after a close");
  a.close();
});

test("an operation that has ended takes its place in the list of its signal with it", async () => {
  const abort = new AbortController();
  const [a, b] = UnixStream.pair();
  const [c, d] = UnixStream.pair();
  const waiting = codeOf(d.recvFds(0, { signal: abort.signal }));
  const operation = (async () => {
    const received = b.recvFds(0, { signal: abort.signal });
    a.sendFdsSync("x");
    return new WeakRef(await received);
  })();
  const message = await operation;
  for (const one of [a, b]) one.close();
  // The other operation still listens.
  for (let turn = 0; turn < 100 && message.deref() !== undefined; turn++) {
    await sleep(2);
    globalThis.gc!();
  }
  assert.is(message.deref(), undefined);
  abort.abort(Object.assign(new Error("enough"), { code: "ENOUGH" }));
  assert.is(await waiting, "ENOUGH");
  for (const one of [c, d]) one.close();
});

for (const how of ["abort", "success"] as const) {
  test(`connect that ends by ${how} leaves no listener and no timer`, async () => {
    const path = `\0${socketPath()}`;
    const listener = UnixListener.bind(path, { backlog: 0 });
    const first = UnixStream.connectSync(path);
    const abort = new AbortController();
    const connecting = UnixStream.connect(path, { signal: abort.signal });
    assert.is(getEventListeners(abort.signal, "abort").length, 1);
    // By now it pauses for longer.
    await sleep(20);
    if (how === "abort") {
      const failing = codeOf(connecting);
      const before = timers();
      abort.abort(Object.assign(new Error("enough"), { code: "ENOUGH" }));
      assert.is(timers(), before - 1);
      assert.is(await failing, "ENOUGH");
    } else {
      listener.acceptSync().close();
      (await connecting).close();
    }
    assert.equal(getEventListeners(abort.signal, "abort"), []);
    first.close();
    listener.close();
  });
}

test("close leaves no timer of a send that waits for its receiver, nor of what waits behind it", async () => {
  const path = socketPath();
  const receiver = UnixDatagram.bind(path);
  const sender = UnixDatagram.unbound();
  crowd(sender, path);
  // Not all of them keep the process alive, and Node tells of no others.
  const { system } = sender.platform;
  const { timer } = system;
  let open = 0;
  system.timer = (milliseconds, fired) => {
    open++;
    const made = timer.call(system, milliseconds, () => {
      open--;
      fired();
    });
    return {
      keepAlive: (on) => made.keepAlive(on),
      close() {
        open--;
        made.close();
      },
    };
  };
  const waiting = codeOf(sender.sendFdsTo("y", [], path));
  sender.shutdown("write");
  assert.is(open, 2);
  sender.close();
  delete (system as Partial<typeof system>).timer;
  assert.is(open, 0);
  assert.is(await waiting, "ERR_SOCKET_CLOSED");
  receiver.close();
});

test("a send that waits for its receiver is tried less and less often", async () => {
  const path = socketPath();
  const receiver = UnixDatagram.bind(path);
  const sender = UnixDatagram.unbound();
  crowd(sender, path);
  const { system } = sender.platform;
  let attempts = 0;
  const { sendmsg } = system;
  system.sendmsg = (...given) => {
    attempts++;
    return sendmsg.apply(system, given);
  };
  const taken = () => {
    const counted = attempts;
    attempts = 0;
    return counted;
  };
  assert.is(await codeOf(() => sender.sendFdsToSync("y", [], path, { timeout: 300 })), "ETIMEDOUT");
  const synchronous = taken();
  const waiting = codeOf(sender.sendFdsTo("y", [], path));
  await sleep(300);
  const asynchronous = taken();
  delete (system as Partial<typeof system>).sendmsg;
  // Pauses of 1, 2, 4 ... 50 ms.
  for (const count of [synchronous, asynchronous]) assert.ok(count >= 3 && count <= 16, `${count} attempts`);
  sender.close();
  receiver.close();
  await waiting;
});

test("bytes that nobody reads take no processor, with and without a send that waits", async () => {
  const [a, b] = UnixStream.pair();
  const received = b.recvFds(0);
  a.sendFdsSync("x");
  await received;
  // The watcher stays armed for reading.
  a.sendFdsSync("unread");
  await sleep(10);
  const idle = await leastProcessorShare(200);
  assert.ok(idle < 0.5, `${idle} of a processor without an operation`);
  b.recvFdsSync(0);
  while (b.trySendFds(Buffer.alloc(4096)) !== null);
  const second = b.recvFds(0);
  const sending = b.sendFds("y");
  a.sendFdsSync("x");
  await second;
  a.sendFdsSync("unread");
  await sleep(10);
  const waiting = await leastProcessorShare(200);
  assert.ok(waiting < 0.5, `${waiting} of a processor beside a send that waits`);
  b.close();
  a.close();
  assert.is(await codeOf(sending), "ERR_SOCKET_CLOSED");
});

/** Otherwise a wait ends when the peer is garbage-collected. */
const kept: unknown[] = [];

function keptPair(): [UnixStream, UnixStream] {
  const ends = UnixStream.pair();
  kept.push(ends);
  return ends;
}

/** Programs that must end by themselves: nothing waits any more, or what waits must not keep them alive. */
const PROGRAMS: Readonly<Record<string, () => unknown>> = {
  "its only wait was aborted": () => {
    const [, b] = keptPair();
    const abort = new AbortController();
    codeOf(b.recvFds(0, { signal: abort.signal }));
    setTimeout(() => abort.abort(), 5);
  },
  "its only send to a receiver was aborted": () => {
    const path = `\0${process.pid}`;
    kept.push(UnixDatagram.bind(path));
    const sender = UnixDatagram.unbound();
    crowd(sender, path);
    const abort = new AbortController();
    codeOf(sender.sendFdsTo("y", [], path, { signal: abort.signal }));
    setTimeout(() => abort.abort(), 5);
  },
  "a synchronous call has served the others": () => {
    const [a, b] = keptPair();
    b.recvFds(0, { bufferSize: 5 });
    a.sendFdsSync("firstsecond");
    assert.is(b.recvFdsSync(0, { timeout: 1000 }).data.toString(), "second");
  },
  "a call that need not wait has served the others": () => {
    const [a, b] = keptPair();
    b.recvFds(0);
    a.sendFdsSync("first");
    assert.is(b.tryRecvFds(0), null);
  },
  "its unreferenced calls wait for a receiver, and for each other": () => {
    const path = `\0${process.pid}`;
    kept.push(UnixDatagram.bind(path));
    const sender = UnixDatagram.unbound();
    crowd(sender, path);
    sender.unref();
    codeOf(sender.sendFdsTo("y", [], path));
    sender.shutdown("write");
  },
};

for (const name of Object.keys(PROGRAMS)) {
  test(`the process ends: ${name}`, async () => {
    const { code, signal, stderr } = await again(import.meta.url, name, [], { timeout: 5000 });
    assert.is(signal, null, "it was still running after 5 s");
    assert.is(code, 0, stderr);
  });
}

/** Sends a signal every few milliseconds, to a process that waits for half a second. Returns what it prints. */
async function withSignals(program: string): Promise<string> {
  const child = spawn(process.execPath, [new URL(import.meta.url).pathname], {
    env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: program },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (output += text));
  const closed = new Promise((resolve) => child.once("close", resolve));
  while (!output.includes("waiting")) await sleep(5);
  // Longer than the wait, but not for ever.
  for (let i = 0; i < 600 && child.exitCode === null; i++) {
    child.kill("SIGUSR2");
    await sleep(4);
  }
  await closed;
  return output;
}

test("signals neither end a synchronous wait nor postpone its end", async () => {
  const [, code, passed] = (await withSignals("signals")).split(" ");
  assert.is(code, "ETIMEDOUT");
  assert.ok(Number(passed) >= 499 && Number(passed) < 1500, `${passed} ms instead of 500`);
});

test("signals are as they were after a bind with permissions", () => {
  const blocked = () => /^SigBlk:.*$/m.exec(readFileSync("/proc/thread-self/status", "latin1"))![0];
  const before = blocked();
  UnixListener.bind(socketPath(), { mode: 0o600 }).close();
  assert.is(blocked(), before);
});

for (const program of ["thread-waits-twice", "thread-sleeps"]) {
  test(`readiness by a thread: ${program}`, async () => {
    const { code, signal, stdout, stderr } = await again(import.meta.url, program, [], {
      timeout: 5000,
      env: { UNIX_ANCILLARY_READINESS: "thread" },
    });
    assert.is(signal, null, "it was still running after 5 s");
    assert.is(code, 0, stderr);
    assert.is(stdout, "done\n", stderr);
  });
}

/** Each wait begins after the thread went to sleep for the one before; only they keep the process alive. */
async function threadWaitsTwice(): Promise<void> {
  const [a, b] = UnixStream.pair();
  for (let i = 0; i < 4; i++) {
    const received = b.recvFds(0);
    setTimeout(() => a.sendFdsSync("x"), 20).unref();
    await received;
    await sleep(5);
  }
  // Another event of the same watcher.
  while (b.trySendFds(Buffer.alloc(4096)) !== null);
  const sent = b.sendFds("y");
  setTimeout(() => a.recvFdsSync(0, { bufferSize: 1 << 20 }), 20).unref();
  await sent;
  console.log("done");
}

/** JavaScript is busy while a socket is ready: the thread must not ask again and again. */
async function threadSleeps(): Promise<void> {
  const [a, b] = UnixStream.pair();
  const received = b.recvFds(0);
  await sleep(10);
  a.sendFdsSync("x");
  const asleep = new Int32Array(new SharedArrayBuffer(4));
  const used = await leastProcessorShare(300, (ms) => void Atomics.wait(asleep, 0, 0, ms));
  await received;
  assert.ok(used < 0.5, `${used} of a processor`);
  console.log("done");
}

function waitWithSignals(): void {
  process.on("SIGUSR2", () => {});
  const [, b] = keptPair();
  const start = performance.now();
  process.stdout.write("waiting ");
  let code = "none";
  try {
    b.recvFdsSync(0, { timeout: 500 });
  } catch (error) {
    code = (error as { code: string }).code;
  }
  process.stdout.write(`${code} ${Math.round(performance.now() - start)}`);
  process.exit();
}

if (role === undefined) test.run();
else if (role === "signals") waitWithSignals();
else if (role === "thread-waits-twice") await threadWaitsTwice();
else if (role === "thread-sleeps") await threadSleeps();
else PROGRAMS[role]!();
