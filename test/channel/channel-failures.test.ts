/** Channels whose frames are aborted, late, sent in part, or cut by a close: each frame is whole, or the channel is poisoned. */

import { getEventListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { FdChannel, UnixSeqpacket, UnixStream } from "unix-ancillary";
import * as assert from "uvu/assert";
import { again, codeOf, errorOf, leakChecked, NEEDS, role, run } from "../support.ts";
import { frameOf, header, withChannels, withFile, withRawPeer } from "./channel-support.ts";

if (role === "crowded") {
  // root has no limit on descriptors in flight.
  if (process.getuid!() === 0) {
    process.setgid!(65534);
    process.setuid!(65534);
  }
  const [a, b] = FdChannel.pair({ maxFds: 3000 });
  const sending = (await errorOf(a.send("", new Array(3000).fill(0)))) as NodeJS.ErrnoException & { bytesSent: number };
  const behind = await codeOf(a.send("behind"));
  a.close();
  b.close();
  console.log(JSON.stringify([sending.code, sending.syscall, sending.bytesSent > 1, behind]));
  process.exit(0);
}
if (role === "unreferenced") {
  const [peer, socket] = UnixStream.pair();
  const channel = FdChannel.over(socket, { frameTimeout: 60_000 }).unref();
  // Otherwise the frame ends when the peer is garbage-collected.
  Object.assign(globalThis, { kept: peer });
  peer.trySendFds(header().subarray(0, 1));
  channel.recv().catch(() => {});
  console.log("waiting");
  // The process ends by itself.
}

const test = leakChecked("channel-failures");

test(
  "never-completed: a frame fails at its deadline; between frames there is no deadline",
  withRawPeer(
    async (peer, channel) => {
      const receiving = channel.recv();
      await sleep(40);
      await peer.sendFds(header({ payload: 5 }).subarray(0, 19));
      assert.is(await codeOf(receiving), "ERR_CHANNEL_TIMEOUT");
      assert.is(await codeOf(channel.recv()), "ERR_CHANNEL_POISONED");
    },
    { frameTimeout: 20 },
  ),
);

test(
  "busy at the deadline: a frame that had arrived by then is received",
  withRawPeer(
    async (peer, channel) => {
      const bytes = Buffer.concat([header({ payload: 5 }), Buffer.from("hello")]);
      const busyUntil = performance.now() + 600;
      const receiving = frameOf(channel);
      peer.sendFdsSync(bytes.subarray(0, 19));
      for (let i = 0; i < 3; i++) await new Promise(setImmediate);
      peer.sendFdsSync(bytes.subarray(19));
      while (performance.now() < busyUntil);
      assert.is((await receiving).payload.toString(), "hello");
    },
    { frameTimeout: 500 },
  ),
);

test(
  "abort-within-a-frame: the bytes stay, and the next receive continues with them",
  withRawPeer((peer, channel) =>
    withFile(async (fd) => {
      for (const cut of [3, 20, 22]) {
        const bytes = Buffer.concat([header({ fds: 1, payload: 5 }), Buffer.from("hello")]);
        await peer.sendFds(bytes.subarray(0, cut), [fd]);
        const abort = new AbortController();
        const receiving = channel.recv({ signal: abort.signal });
        await sleep(3);
        abort.abort(new Error("mine"));
        assert.is((await errorOf(receiving)).message, "mine");
        await peer.sendFds(bytes.subarray(cut));
        const frame = await frameOf(channel);
        assert.is(frame.payload.toString(), "hello");
        assert.is(frame.fds.length, 1);
        frame[Symbol.dispose]();
      }
    }),
  ),
);

test(
  "half-sent: a frame sent in part poisons the channel; a frame cancelled before its start has no effect",
  withChannels((a, b) =>
    withFile(async (fd) => {
      const abort = new AbortController();
      const half = a.send(Buffer.alloc(3_000_000), [fd], { signal: abort.signal });
      const early = new AbortController();
      const withdrawn = a.send("withdrawn", [], { signal: early.signal });
      const behind = a.send("behind");
      early.abort(new Error("early"));
      assert.is((await errorOf(withdrawn)).message, "early");
      await sleep(5);
      abort.abort(new Error("mine"));
      const error = (await errorOf(half)) as Error & { bytesSent: number; fdsSent: boolean };
      assert.is((error.cause as Error).message, "mine");
      assert.ok(error.bytesSent > 20 && error.fdsSent);
      assert.is(await codeOf(behind), "ERR_CHANNEL_POISONED");
      assert.is(await codeOf(a.send("later")), "ERR_CHANNEL_POISONED");
      a.close();
      assert.is(await codeOf(b.recv()), "ERR_CHANNEL_UNEXPECTED_EOF");
    }),
  ),
);

test(
  "closed: waiting calls fail, and received descriptors are closed",
  withChannels((a, b) =>
    withFile(async (fd) => {
      await a.send("one", [fd]);
      const receiving = [b.recv(), b.recv()];
      (await receiving[0])![Symbol.dispose]();
      const sending = [a.send(Buffer.alloc(3_000_000)), a.send("queued")];
      const codes = Promise.all([receiving[1]!, ...sending].map(codeOf));
      b.close();
      a.close();
      assert.equal((await codes).slice(0, 1), ["ERR_CHANNEL_CLOSED"]);
      for (const code of (await codes).slice(1)) assert.ok(["ERR_CHANNEL_CLOSED", "EPIPE"].includes(code), code);
      assert.is(await codeOf(a.send("x")), "ERR_CHANNEL_CLOSED");
      assert.is(await codeOf(b.recv()), "ERR_CHANNEL_CLOSED");
    }),
  ),
);

test("reason-shared: an abort between the messages of a frame poisons the channel, and does not change the abort reason", () =>
  withFile(async (fd) => {
    for (const reason of [new Error("mine"), null, "text", Object.freeze({ bytesSent: 7 })]) {
      const [a, b] = FdChannel.pair({ maxFds: 2000 });
      const abort = new AbortController();
      const sending = a.send("x", new Array(1500).fill(fd), { signal: abort.signal });
      abort.abort(reason);
      const error = (await errorOf(sending)) as Error & { bytesSent: number; code: string };
      assert.is(error.code, "ABORT_ERR");
      assert.is(error.cause, reason);
      assert.is(error.bytesSent, 1);
      if (reason instanceof Error) assert.equal(Object.keys(reason), []);
      assert.is(await codeOf(a.send("later")), "ERR_CHANNEL_POISONED");
      a.close();
      b.close();
    }
  }));

test(
  "abort-while-queued: a receive is cancelled at once, and the other receives continue",
  withChannels(async (a, b) => {
    const abort = new AbortController();
    const first = b.recv();
    const second = b.recv({ signal: abort.signal });
    const third = b.recv();
    abort.abort(new Error("mine"));
    assert.is((await errorOf(second)).message, "mine");
    await a.send("one");
    await a.send("two");
    assert.is((await first)?.payload.toString(), "one");
    assert.is((await third)?.payload.toString(), "two");
    assert.is((await errorOf(b.recv({ signal: abort.signal }))).message, "mine");
  }),
);

test("abort-between-two-waits: an abort takes effect at every turn, with a deadline too", () =>
  withFile(async () => {
    for (let turns = 0; turns < 30; turns++) {
      const [peer, socket] = UnixStream.pair();
      const channel = FdChannel.over(socket, { frameTimeout: 1_000_000 });
      await peer.sendFds("UANC");
      const abort = new AbortController();
      const receiving = channel.recv({ signal: abort.signal });
      for (let i = 0; i < turns; i++) await null;
      abort.abort(new Error("mine"));
      assert.is((await errorOf(receiving)).message, "mine");
      peer.close();
      channel.close();
    }
  }));

test(
  "one-signal-for-many: no listener remains when the calls are over",
  withChannels(async (a, b) => {
    const { signal } = new AbortController();
    const sending = Promise.all(Array.from({ length: 9 }, () => a.send(Buffer.alloc(100_000), [], { signal })));
    for (let i = 0; i < 9; i++) await b.recv({ signal });
    await sending;
    assert.equal(getEventListeners(signal, "abort"), []);
  }),
);

test(
  "a deadline leaves no timer and no listener when its frame has come, or was aborted",
  withRawPeer(
    async (peer, channel) => {
      const { system } = peer.platform;
      const { timer } = system;
      let left = 0;
      system.timer = (milliseconds, fired) => {
        const made = timer.call(system, milliseconds, fired);
        left++;
        return {
          keepAlive: (on) => made.keepAlive(on),
          close() {
            left--;
            made.close();
          },
        };
      };
      try {
        const abort = new AbortController();
        const frame = Buffer.concat([header({ payload: 4 }), Buffer.from("data")]);
        const whole = channel.recv({ signal: abort.signal });
        const begun = async () => {
          for (let turn = 0; turn < 1000 && left === 0; turn++) await sleep(1);
          assert.is(left, 1, "a deadline");
        };
        peer.sendFdsSync(frame.subarray(0, 10));
        await begun();
        peer.sendFdsSync(frame.subarray(10));
        assert.is((await whole)?.payload.toString(), "data");
        assert.is(left, 0);
        assert.equal(getEventListeners(abort.signal, "abort"), []);
        const aborted = channel.recv({ signal: abort.signal });
        peer.sendFdsSync(frame.subarray(0, 10));
        await begun();
        const failing = errorOf(aborted);
        abort.abort(new Error("mine"));
        assert.is((await failing).message, "mine");
        assert.is(left, 0);
      } finally {
        delete (system as Partial<typeof system>).timer;
      }
    },
    { frameTimeout: 1_000_000 },
  ),
);

test(
  "payload-gone-while-queued: the frame is refused, nothing is sent, and the next frame is sent",
  withChannels(async (a, b) => {
    const large = a.send(Buffer.alloc(3_000_000));
    const payload = new Uint8Array(100);
    const refused = codeOf(a.send(payload));
    const behind = a.send("behind");
    structuredClone(payload.buffer, { transfer: [payload.buffer] });
    await frameOf(b);
    await large;
    assert.is(await refused, "ERR_OUT_OF_RANGE");
    assert.is((await frameOf(b)).payload.toString(), "behind");
    assert.is(await behind, 2n);
  }),
);

test("closed-half-way: the error is a ChannelError with the progress", async () => {
  for (const close of [(channel: FdChannel) => channel.close(), (_: FdChannel, socket: UnixStream) => socket.close()]) {
    const [socket, other] = UnixStream.pair();
    const [a, b] = [FdChannel.over(socket), FdChannel.over(other)];
    const sending = errorOf(a.send(Buffer.alloc(3_000_000)));
    const receiving = codeOf(a.recv());
    close(a, socket);
    const error = (await sending) as Error & { code: string; bytesSent: number };
    assert.is(error.name, "ChannelError");
    assert.is(error.code, "ERR_CHANNEL_CLOSED");
    assert.ok(error.bytesSent > 0);
    assert.is(await receiving, "ERR_CHANNEL_CLOSED");
    assert.is(await codeOf(a.recv()), "ERR_CHANNEL_CLOSED");
    a.close();
    b.close();
  }
});

test("reset: a peer that closes without reading loses no frame that it sent, over records too", () =>
  withFile(async (fd) => {
    for (const pair of [UnixStream.pair(), UnixSeqpacket.pair()]) {
      const [a, b] = pair.map((socket) => FdChannel.over(socket)) as [FdChannel, FdChannel];
      await a.send("never read");
      await b.send("answer", [fd]);
      await b.send("another");
      b.close();
      const answer = await frameOf(a);
      assert.is(answer.payload.toString(), "answer");
      assert.is(answer.fds.length, 1);
      answer[Symbol.dispose]();
      assert.is((await frameOf(a)).payload.toString(), "another");
      assert.is(await codeOf(a.recv()), "ECONNRESET");
      const error = await errorOf(a.send("x"));
      assert.is((error as { code?: string }).code, "ERR_CHANNEL_CLOSED");
      assert.is((error.cause as { code?: string }).code, "ECONNRESET");
      a.close();
    }
  }));

test.needing(
  ...NEEDS.unprivileged,
  "too-many-in-flight: a frame that is refused half-way poisons the channel",
  async () => {
    // Fewer than the frame has, but enough for Node.
    const limited = ["-c", 'ulimit -n 600; exec "$0" "$@"', process.execPath, fileURLToPath(import.meta.url)];
    const { stdout, stderr } = await run("sh", limited, {
      env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: "crowded" },
    });
    assert.is(stderr, "");
    assert.equal(JSON.parse(stdout), ["ETOOMANYREFS", "sendmsg", true, "ERR_CHANNEL_POISONED"]);
  },
);

test("unreferenced: a frame's deadline does not keep the process alive", async () => {
  const { stdout, signal } = await again(import.meta.url, "unreferenced");
  assert.is(signal, null);
  assert.is(stdout, "waiting\n");
});

if (role === undefined) test.run();
