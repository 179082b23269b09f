/** What counts as work between two turns of the event loop: whatever is handed out, and every failure. */

import { FdChannel, UnixListener, UnixSeqpacket, UnixStream } from "unix-ancillary";
import { VirtualKernel } from "unix-ancillary/testing";
import * as assert from "uvu/assert";
import { codeOf, leakChecked } from "../support.ts";

const test = leakChecked("fairness");

test("a loop that catches errors does not stop the event loop", async () => {
  const [a, b] = UnixStream.pair();
  b.close();
  const closed = UnixStream.pair();
  for (const socket of closed) socket.close();
  const signal = AbortSignal.abort();
  const failing: (() => Promise<unknown>)[] = [
    () => a.sendFds("x"),
    () => closed[0].recvFds(0),
    () => closed[0].sendFds("x"),
    () => a.recvFds(0, { signal }),
  ];
  for (const attempt of failing) {
    let failures = 0;
    let turned = false;
    setImmediate(() => setImmediate(() => (turned = true)));
    while (!turned && failures < 10_000) {
      try {
        await attempt();
      } catch {
        failures++;
      }
    }
    assert.ok(turned, `${failures} failures, and the event loop did not turn`);
  }
  a.close();
});

/** The most of `step` that run between two turns of the event loop, of `steps`. */
async function mostInATurn(steps: number, step: () => Promise<unknown>): Promise<number> {
  let most = 0;
  let now = 0;
  let over = false;
  const turn = () => {
    most = Math.max(most, now);
    now = 0;
    if (!over) setImmediate(turn);
  };
  setImmediate(turn);
  for (let i = 0; i < steps; i++) {
    await step();
    now++;
  }
  over = true;
  return Math.max(most, now);
}

/** So many empty frames of a channel. */
function frames(count: number): Buffer {
  const bytes = Buffer.alloc(20 * count);
  for (let i = 0; i < count; i++) {
    bytes.write("UANC", 20 * i);
    bytes.writeUInt8(1, 20 * i + 4);
    bytes.writeBigUInt64BE(BigInt(i + 1), 20 * i + 12);
  }
  return bytes;
}

test("a flood of empty frames does not stop timers", async () => {
  const [a, b] = UnixStream.pair();
  const channel = FdChannel.over(b);
  const sent = a.sendFdsAll(frames(5000));
  const most = await mostInATurn(5000, () => channel.recv());
  assert.ok(most <= 300, `${most} frames in one turn`);
  await sent;
  a.close();
  channel.close();
});

test("small reads of a reader do not stop timers", async () => {
  const [a, b] = UnixStream.pair();
  const reader = b.reader();
  const lines = Buffer.alloc(20_000, "x\n");
  for (const read of [() => reader.read(2), () => reader.readUntil("\n", 10), () => reader.ended()]) {
    const sent = a.sendFdsAll(lines);
    const most = await mostInATurn(10_000, read);
    assert.ok(most <= 300, `${most} reads in one turn`);
    // `ended` reads nothing.
    if (reader.queuedBytes > 0) await reader.read(20_000);
    await sent;
  }
  a.close();
  reader.close();
});

test("receives that do not wait, of both kinds, do not stop timers", async () => {
  const [a, b] = UnixSeqpacket.pair();
  const most = await mostInATurn(2000, async () => {
    a.trySendFds("x");
    a.trySendFds("y");
    b.tryRecvFds(0);
    await b.recvFds(0);
  });
  assert.ok(most <= 64, `${most} in one turn`);
  a.close();
  b.close();
});

test("a loop that catches EMFILE accepts again only after a moment, and gets the connection in the end", async () => {
  const kernel = new VirtualKernel("linux-x86_64-glibc");
  const server = kernel.process({ descriptors: 9 });
  const client = kernel.process();
  const listener = UnixListener.bind("/s", { platform: server.platform });
  const stream = UnixStream.connectSync("/s", { platform: client.platform });
  const hogs = [UnixStream.pair({ platform: server.platform }), UnixStream.pair({ platform: server.platform })].flat();
  hogs.push(UnixStream.connectSync("/s", { platform: server.platform }));
  const { system } = server.platform as unknown as { readonly system: { now(): number } };
  const begun = system.now();
  for (let i = 0; i < 20; i++) assert.is(await codeOf(listener.accept()), "EMFILE");
  const waited = system.now() - begun;
  // 5, 10, 20, 40 and 80 ms, then 100 each time; the last failure is not waited for.
  assert.ok(waited >= 1500, `${waited} ms`);
  hogs.pop()!.close();
  (await listener.accept()).close();
  for (const socket of [...hogs, stream, listener]) socket.close();
  kernel.check();
});

test.run();
