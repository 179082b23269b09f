/** Waits in every state of every kind of socket: they end, fail or sleep. None takes a processor. */

import { setTimeout as sleep } from "node:timers/promises";
import { OwnedFd, UnixDatagram, UnixSeqpacket, UnixStream } from "unix-ancillary";
import { VirtualKernel } from "unix-ancillary/testing";
import * as assert from "uvu/assert";
import { again, codeOf, leakChecked, leastProcessorShare, role, SLOWNESS, socketPath } from "../support.ts";

const test = leakChecked("states");

if (role === "drain") {
  const socket = UnixStream.from(OwnedFd.fromRaw(3));
  let bytes = 0;
  for await (const { data } of socket.messages(0, { bufferSize: 1 << 20 })) bytes += data.length;
  console.log(bytes);
}

type Socket = UnixStream | UnixSeqpacket | UnixDatagram;

/** What is done to a socket `a` and its peer `b`. */
const STATES: Readonly<Record<string, (a: Socket, b: Socket) => unknown>> = {
  "as it was made": () => {},
  "shut for reading": (a) => a.shutdown("read"),
  "shut for writing": (a) => a.shutdown("write"),
  "shut for both": (a) => a.shutdown("both"),
  "its peer shut for reading": (_, b) => b.shutdown("read"),
  "its peer shut for writing": (_, b) => b.shutdown("write"),
  "its peer shut for both": (_, b) => b.shutdown("both"),
  "its peer gone": (_, b) => b.close(),
  "its peer gone, with bytes unread": (a, b) => {
    a.sendFdsSync("unread");
    b.close();
  },
  "its peer gone, with bytes of both unread": (a, b) => {
    a.sendFdsSync("unread");
    b.sendFdsSync("unread", [0]);
    b.close();
  },
  "nothing taken by its peer": (a) => {
    while (a.trySendFds(Buffer.alloc(4096)) !== null);
  },
  "nothing taken by its peer, which has gone": (a, b) => {
    while (a.trySendFds(Buffer.alloc(4096)) !== null);
    b.close();
  },
};

const KINDS: Readonly<Record<string, () => [Socket, Socket]>> = {
  stream: () => UnixStream.pair(),
  seqpacket: () => UnixSeqpacket.pair(),
  datagram: () => UnixDatagram.pair(),
  "datagram, connected one way": () => {
    const path = socketPath();
    const b = UnixDatagram.bind(path);
    const a = UnixDatagram.unbound();
    a.connect(path);
    return [a, b];
  },
  "datagram, not connected": () => [UnixDatagram.unbound(), UnixDatagram.unbound()],
};

/** How long the processor time is measured. */
const WAIT_MS = 60;

for (const [kind, make] of Object.entries(KINDS)) {
  for (const [state, put] of Object.entries(STATES)) {
    for (const direction of ["receive", "send", "both"]) {
      test(`${kind}, ${state}: ${direction} takes no processor`, async () => {
        const [a, b] = make();
        try {
          put(a, b);
        } catch {
          // A state that this kind does not have.
        }
        const timeUp = new AbortController();
        const { signal } = timeUp;
        const ended = (async () => {
          const waits: Promise<unknown>[] = [];
          // Until it has to wait, or fails, or ends.
          if (direction !== "send")
            waits.push(
              (async () => {
                for (;;) {
                  const message = await a.recvFds(1, { signal });
                  message[Symbol.dispose]();
                  if (message.eof) return;
                }
              })(),
            );
          if (direction !== "receive")
            waits.push(
              (async () => {
                for (;;) await a.sendFds(Buffer.alloc(4096), [], { signal });
              })(),
            );
          await Promise.allSettled(waits);
        })();
        await Promise.race([sleep(30), ended]);
        const used = await leastProcessorShare(WAIT_MS, (ms) => Promise.race([sleep(ms), ended]));
        timeUp.abort();
        await ended;
        a.close();
        b.close();
        assert.ok(used < 0.5, `${used} of a processor`);
      });
    }
  }
}

test("a datagram socket that is shut for reading fails a receive instead of waiting for ever", async () => {
  const [a, b] = UnixDatagram.pair();
  a.shutdown("read");
  assert.is(await codeOf(a.recvFds(0)), "EPIPE");
  assert.is(await codeOf(() => a.recvFdsSync(0)), "EPIPE");
  assert.is(a.tryRecvFds(0), null);
  a.close();
  b.close();
});

test("a synchronous send in many parts does not pause between them", async () => {
  const [a, b] = UnixStream.pair();
  const child = again(import.meta.url, "drain", [], { stdio: ["ignore", "pipe", "pipe", b.fd] });
  b.close();
  const started = performance.now();
  // Hundreds of parts: with the longest pause behind each it would take tens of seconds.
  a.sendFdsAllSync(Buffer.alloc(64 << 20));
  assert.ok(performance.now() - started < 10_000 * SLOWNESS);
  a.close();
  assert.is((await child).stdout, `${64 << 20}\n`);
});

test("the same on a virtual kernel, whose clock tells that nothing was waited for", async () => {
  const kernel = new VirtualKernel("linux-x86_64-glibc");
  const [a, b] = UnixDatagram.pair({ platform: kernel.process().platform });
  a.shutdown("read");
  const before = kernel.calls;
  assert.is(await codeOf(a.recvFds(0)), "EPIPE");
  assert.is(await codeOf(() => a.recvFdsSync(0)), "EPIPE");
  assert.ok(kernel.calls - before < 60, `${kernel.calls - before} system calls`);
  a.close();
  b.close();
  kernel.check();
});

for (const [kind, make] of [
  ["seqpacket", () => UnixSeqpacket.pair()],
  ["stream", () => UnixStream.pair()],
] as const) {
  test(`${kind}: what a peer sent before it reset the connection comes before the error`, async () => {
    const receives: Readonly<Record<string, (b: UnixStream | UnixSeqpacket) => Promise<string>>> = {
      recvFds: async (b) => String((await b.recvFds(0, { bufferSize: 3 })).data),
      recvFdsSync: async (b) => String(b.recvFdsSync(0, { bufferSize: 3 }).data),
      tryRecvFds: async (b) => String(b.tryRecvFds(0, { bufferSize: 3 })!.data),
      recvFdsInto: async (b) => {
        const into = Buffer.alloc(3);
        await b.recvFdsInto(into, 0);
        return String(into);
      },
    };
    for (const receive of Object.values(receives)) {
      const [a, b] = make();
      await b.sendFds("not read");
      await a.sendFds("one");
      await a.sendFds("two");
      a.close();
      assert.is(await receive(b), "one");
      assert.is(await receive(b), "two");
      assert.is(await codeOf(receive(b)), "ECONNRESET");
      assert.ok((await b.recvFds(0)).eof, "the end behind it");
      b.close();
    }
  });

  test(`${kind}: a loop over messages hands out what a peer sent before it reset the connection`, async () => {
    const [a, b] = make();
    await b.sendFds("not read");
    await a.sendFds("one", [0]);
    await a.sendFds("two");
    a.close();
    let got = "";
    let fds = 0;
    const loop = async () => {
      for await (const message of b) {
        got += message.data;
        fds += message.fds.length;
        message[Symbol.dispose]();
      }
    };
    assert.is(await codeOf(loop()), "ECONNRESET");
    assert.is(got, "onetwo");
    assert.is(fds, 1);
    b.close();
  });
}

test("datagram: what was sent before a peer was connected elsewhere comes before the error", async () => {
  const [path, other] = [socketPath(), socketPath()];
  const [a, b, c] = [UnixDatagram.bind(path), UnixDatagram.unbound(), UnixDatagram.bind(other)];
  const own = socketPath();
  const d = UnixDatagram.bind(own);
  a.connect(own);
  d.connect(path);
  await d.sendFds("before", [0]);
  await a.sendFds("not read");
  // What it had is dropped, and its former peer is told.
  d.connect(other);
  const message = await a.recvFds(1);
  assert.is(String(message.data), "before");
  message[Symbol.dispose]();
  assert.is(await codeOf(a.recvFds(1)), "ECONNRESET");
  for (const socket of [a, b, c, d]) socket.close();
});

if (role === undefined) test.run();
