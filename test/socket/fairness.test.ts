/** What counts as work between two turns of the event loop: whatever is handed out, and every failure. */

import { setTimeout as sleep } from "node:timers/promises";
import { FdChannel, UnixListener, UnixSeqpacket, UnixStream } from "unix-ancillary";
import { VirtualKernel } from "unix-ancillary/testing";
import * as assert from "uvu/assert";
import { codeOf, leakChecked, socketPath } from "../support.ts";

const test = leakChecked("fairness");

test("a loop that catches errors does not stop the event loop", async () => {
  const [a, b] = UnixStream.pair();
  b.close();
  const closed = UnixStream.pair();
  for (const socket of closed) socket.close();
  const signal = AbortSignal.abort();
  const channels = FdChannel.pair();
  for (const channel of channels) channel.close();
  const nobody = socketPath();
  const [c, d] = UnixStream.pair();
  const reader = c.reader();
  const [open, other] = FdChannel.pair();
  const failing: (() => Promise<unknown>)[] = [
    () => UnixStream.connect(nobody),
    () => UnixStream.connect(nobody, { signal }),
    () => channels[0].send("x"),
    () => reader.read(1, { signal }),
    () => open.recv({ signal }),
    () => open.send("x", [], { signal }),
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
  for (const one of [a, reader, d, open, other]) one.close();
});

/** The most that is handed over between two turns of the event loop while `work` runs. */
async function mostTogether(work: (handed: (count: number) => void) => Promise<void>): Promise<number> {
  let most = 0;
  let now = 0;
  let over = false;
  const turn = () => {
    most = Math.max(most, now);
    now = 0;
    if (!over) setImmediate(turn);
  };
  setImmediate(turn);
  await work((count) => (now += count));
  over = true;
  return Math.max(most, now);
}

/** The most of `step` that run between two turns of the event loop, of `steps`. */
function mostInATurn(steps: number, step: () => Promise<unknown>): Promise<number> {
  return mostTogether(async (handed) => {
    for (let i = 0; i < steps; i++) {
      await step();
      handed(1);
    }
  });
}

test("many busy sockets do not stop timers together", async () => {
  const SOCKETS = 200;
  const RECEIVES = 500;
  const pairs = Array.from({ length: SOCKETS }, () => UnixStream.pair());
  for (const [a] of pairs) a.sendFdsSync(Buffer.alloc(RECEIVES));
  const most = await mostTogether(async (handed) => {
    await Promise.all(
      pairs.map(async ([, b]) => {
        for (let i = 0; i < RECEIVES; i++) {
          await b.recvFds(0, { bufferSize: 1 });
          handed(1);
        }
      }),
    );
  });
  // The shared limit, and one operation of each socket.
  assert.ok(most <= 512 + SOCKETS, `${most} receives in one turn`);
  for (const pair of pairs) for (const socket of pair) socket.close();
});

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

test("many flooded channels do not stop timers together", async () => {
  const CHANNELS = 50;
  const FRAMES = 500;
  const pairs = Array.from({ length: CHANNELS }, () => UnixStream.pair());
  for (const [a] of pairs) a.sendFdsSync(frames(FRAMES));
  const most = await mostTogether(async (handed) => {
    await Promise.all(
      pairs.map(async ([, b]) => {
        using channel = FdChannel.over(b);
        for (let i = 0; i < FRAMES; i++) {
          await channel.recv();
          handed(1);
        }
      }),
    );
  });
  // The shared limit, and those of each that are counted together.
  assert.ok(most <= 2048 + 16 * CHANNELS, `${most} frames in one turn`);
  for (const [a] of pairs) a.close();
});

test("messages are counted by what they bring: bytes and descriptors", async () => {
  const COUNT = 100;
  const [a, b] = UnixSeqpacket.pair();
  for (const [bytes, fds, limit] of [
    [1, 0, 64],
    // 16 units of 4 KiB and 4 for the operation, at each end.
    [65536, 0, 2048 / 40 + 1],
    [1, 200, 2048 / 408 + 1],
  ] as const) {
    const payload = Buffer.alloc(bytes);
    const list = new Array<number>(fds).fill(0);
    const most = await mostTogether(async (handed) => {
      const sent = (async () => {
        for (let i = 0; i < COUNT; i++) await a.sendFds(payload, list);
      })();
      for (let i = 0; i < COUNT; i++) {
        const message = await b.recvFds(253);
        message[Symbol.dispose]();
        handed(1);
      }
      await sent;
    });
    assert.ok(most <= limit, `${most} messages of ${bytes} bytes and ${fds} descriptors in one turn`);
  }
  a.close();
  b.close();
});

for (const what of ["receives", "sends"] as const) {
  test(`many ${what} that wait are not all served in one turn`, async () => {
    // A socket has room for as many: on s390x, where each has more memory, for less than 220.
    const COUNT = 160;
    const [a, b] = UnixSeqpacket.pair();
    if (what === "sends") while (a.trySendFds(Buffer.alloc(32768)) !== null);
    const most = await mostTogether(async (handed) => {
      const waiting = Array.from({ length: COUNT }, async () => {
        await (what === "receives" ? b.recvFds(0) : a.sendFds("x"));
        handed(1);
      });
      // All of them can be served at once.
      if (what === "receives") for (let i = 0; i < COUNT; i++) a.sendFdsSync("x");
      else while (b.tryRecvFds(0) !== null);
      await Promise.all(waiting);
    });
    a.close();
    b.close();
    // Those of one event, and those of the turn that it asks for.
    assert.ok(most <= 2 * 65, `${most} in one turn`);
  });
}

test("accepted connections do not stop timers, of many listeners together", async () => {
  const [LISTENERS, COUNT] = [8, 60];
  const listeners = Array.from({ length: LISTENERS }, () => UnixListener.bind(`\0${socketPath()}`));
  const sockets: UnixStream[] = [];
  for (const { address } of listeners) for (let i = 0; i < COUNT; i++) sockets.push(UnixStream.connectSync(address!));
  const most = await mostTogether(async (handed) => {
    await Promise.all(
      listeners.map(async (listener) => {
        for (let i = 0; i < COUNT; i++) {
          sockets.push(await listener.accept());
          handed(1);
        }
      }),
    );
  });
  // Each counts as four messages.
  assert.ok(most <= 2048 / 16 + LISTENERS, `${most} connections in one turn`);
  for (const socket of [...listeners, ...sockets]) socket.close();
});

test("connects that need not wait do not stop timers", async () => {
  const listener = UnixListener.bind(`\0${socketPath()}`);
  const sockets: UnixStream[] = [];
  const most = await mostInATurn(400, async () => sockets.push(await UnixStream.connect(listener.address!)));
  // Each counts as three messages.
  assert.ok(most <= 2048 / 12 + 1, `${most} connections in one turn`);
  for (const socket of [listener, ...sockets]) socket.close();
});

test("a peer that floods a socket delays the answer to another by a few turns, however much it sends", async () => {
  const [flood, flooded] = UnixStream.pair();
  const [asks, answers] = UnixStream.pair();
  const channel = FdChannel.over(flooded);
  let over = false;
  const flooding = (async () => {
    while (!over) await flood.sendFdsAll(frames(5000)).catch(() => (over = true));
  })();
  const draining = (async () => {
    for await (const _ of channel) if (over) break;
  })();
  const answering = (async () => {
    for await (const { data } of answers) await answers.sendFds(data);
  })();
  let turns = 0;
  const turn = () => {
    turns++;
    if (!over) setImmediate(turn);
  };
  setImmediate(turn);
  let most = 0;
  for (let i = 0; i < 50; i++) {
    await sleep(1);
    const before = turns;
    await asks.sendFds("?");
    await asks.recvFds(0);
    most = Math.max(most, turns - before);
  }
  over = true;
  channel.close();
  flood.close();
  asks.close();
  await Promise.allSettled([flooding, draining, answering]);
  answers.close();
  // The request, the answer, and a turn of its own for each of the two sides: 8.
  assert.ok(most <= 16, `${most} turns`);
});

test("receives that do not wait, of both kinds, do not stop timers", async () => {
  const [a, b] = UnixSeqpacket.pair();
  const most = await mostInATurn(2000, async () => {
    a.trySendFds("x");
    a.trySendFds("y");
    b.tryRecvFds(0);
    await b.recvFds(0);
  });
  // Both receives count.
  assert.ok(most <= 33, `${most} in one turn`);
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
