/** Channels: frames with descriptors arrive whole, in order and once. */

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { FdChannel, type Frame, OwnedFd, UnixSeqpacket, UnixStream } from "unix-ancillary";
import type { AbiName } from "unix-ancillary/core";
import { VirtualKernel } from "unix-ancillary/testing";
import * as assert from "uvu/assert";
import { fstatSync } from "../descriptors.ts";
import { codeOf, errorOf, leakChecked } from "../support.ts";
import { frameOf, header, withChannels, withFile, withRawPeer } from "./channel-support.ts";

const test = leakChecked("channel");

test(
  "round-trip: payload, descriptors, ids, and null at the end",
  withChannels((a, b) =>
    withFile(async (fd) => {
      assert.is(await a.send("one", [fd, fd]), 1n);
      assert.is(await a.send(new Uint8Array([1, 2, 3])), 2n);
      assert.is(await a.send("", [fd]), 3n);
      const first = await frameOf(b);
      assert.is(first.messageId, 1n);
      assert.is(first.payload.toString(), "one");
      assert.equal(
        first.fds.map((owned) => fstatSync(owned.fd).ino),
        [fstatSync(fd).ino, fstatSync(fd).ino],
      );
      first[Symbol.dispose]();
      const second = await frameOf(b);
      assert.equal([...second.payload], [1, 2, 3]);
      assert.is(second.fds.length, 0);
      const third = await frameOf(b);
      assert.is(third.payload.length, 0);
      assert.is(third.fds.length, 1);
      third[Symbol.dispose]();
      assert.is(b.peer?.uid, process.getuid!());
      a.close();
      assert.is(await b.recv(), null);
      assert.is(await b.recv(), null);
    }),
  ),
);

test(
  "wire-format: byte for byte",
  withRawPeer(async (peer, channel) => {
    await channel.send("hi");
    await channel.send("!");
    const bytes = peer.recvFdsSync(0).data;
    assert.is(
      bytes.toString("hex"),
      "55414e43" +
        "01" +
        "00" +
        "0000" +
        "00000002" +
        "0000000000000001" +
        "6869" +
        "55414e43" +
        "01" +
        "00" +
        "0000" +
        "00000001" +
        "0000000000000002" +
        "21",
    );
  }),
);

test(
  "more-than-one-message-takes: descriptors on successive bytes of the frame",
  withChannels(
    (a, b) =>
      withFile(async (fd) => {
        const sending = a.send("x", new Array(600).fill(fd));
        const frame = await frameOf(b);
        await sending;
        assert.is(frame.fds.length, 600);
        frame[Symbol.dispose]();
        await a.send("next", [fd]);
        const next = await frameOf(b);
        assert.is(next.fds.length, 1);
        next[Symbol.dispose]();
      }),
    { maxFds: 600 },
  ),
);

for (const bytes of [0, 1, 1023, 1024, 1025, 5000]) {
  test(
    `bytes-joined: a payload of ${bytes} bytes is whole, whether it is copied behind its header or not`,
    withChannels((a, b) =>
      withFile(async (fd) => {
        const memory = Uint8Array.from({ length: bytes + 14 }, (_, i) => i % 251);
        const payload = memory.subarray(7, 7 + bytes);
        await a.send(payload, [fd]);
        const frame = await frameOf(b);
        assert.ok(frame.payload.equals(payload));
        assert.is(frame.fds.length, 1);
        frame[Symbol.dispose]();
      }),
    ),
  );

  test(
    `bytes-grown: a payload of ${bytes} bytes that has grown in the queue is sent as it was`,
    withChannels(async (a, b) => {
      const memory = new (ArrayBuffer as unknown as new (n: number, options: object) => ArrayBuffer)(bytes, {
        maxByteLength: 10_000,
      }) as ArrayBuffer & { resize(n: number): void };
      const payload = new Uint8Array(memory).fill(1);
      const sends = [a.send(Buffer.alloc(1_000_000)), a.send(payload), a.send("next")];
      memory.resize(10_000);
      assert.is((await frameOf(b)).payload.length, 1_000_000);
      assert.ok((await frameOf(b)).payload.equals(Buffer.alloc(bytes, 1)));
      assert.is((await frameOf(b)).payload.toString(), "next");
      await Promise.all(sends);
    }),
  );
}

test(
  "back-pressure: a send is complete when the kernel has the frame, not before",
  withChannels(async (a, b) => {
    const payload = Buffer.alloc(3_000_000, "0123456789");
    let over = false;
    const sending = a.send(payload).then(() => {
      over = true;
    });
    await sleep(5);
    assert.is(over, false);
    const frame = await frameOf(b);
    await sending;
    assert.ok(frame.payload.equals(payload));
  }),
);

test(
  "many-at-once: in the order of the calls",
  withChannels((a, b) =>
    withFile(async (fd) => {
      const sending = Promise.all(Array.from({ length: 200 }, (_, i) => a.send(`${i}`, i % 3 === 0 ? [fd] : [])));
      for (let i = 0; i < 200; i++) {
        const frame = await frameOf(b);
        assert.is(frame.payload.toString(), `${i}`);
        assert.is(frame.messageId, BigInt(i + 1));
        assert.is(frame.fds.length, i % 3 === 0 ? 1 : 0);
        frame[Symbol.dispose]();
      }
      await sending;
    }),
  ),
);

test(
  "bytes-detached: a frame whose bytes were detached in the queue is refused, the next one is sent",
  withChannels(async (a, b) => {
    const large = a.send(Buffer.alloc(3_000_000));
    const view = new Uint8Array(100);
    const lost = errorOf(a.send(view));
    const next = a.send("next");
    structuredClone(view, { transfer: [view.buffer] });
    (await frameOf(b))[Symbol.dispose]();
    assert.instance(await lost, RangeError);
    const frame = await frameOf(b);
    assert.is(frame.payload.toString(), "next");
    assert.equal(await Promise.all([large, next]), [1n, 2n]);
    assert.is(await a.send(view), 3n, "no bytes from the start are a frame");
  }),
);

test(
  "descriptors-of-the-next-frame: joined into one receive, they stay with the next frame",
  withRawPeer((peer, channel) =>
    withFile(async (fd) => {
      // Plain bytes and the first bytes of the next frame arrive in one receive.
      await peer.sendFds(Buffer.concat([header({ payload: 2 }), Buffer.from("ab")]));
      await peer.sendFds(header({ fds: 1, id: 2n }), [fd]);
      const first = await frameOf(channel);
      assert.is(first.fds.length, 0);
      const second = await frameOf(channel);
      assert.is(second.fds.length, 1);
      second[Symbol.dispose]();
    }),
  ),
);

test(
  "one-byte-at-a-time: the frame arrives whole",
  withRawPeer((peer, channel) =>
    withFile(async (fd) => {
      const bytes = Buffer.concat([header({ fds: 2, payload: 3 }), Buffer.from("abc")]);
      const receiving = frameOf(channel);
      for (let i = 0; i < bytes.length; i++) {
        await peer.sendFds(bytes.subarray(i, i + 1), i === 0 || i === 7 ? [fd] : []);
        if (i % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      const frame = await receiving;
      assert.is(frame.payload.toString(), "abc");
      assert.is(frame.fds.length, 2);
      frame[Symbol.dispose]();
    }),
  ),
);

test(
  "limits-hold-for-sending: a frame beyond the limits is not sent",
  withChannels(
    (a, b) =>
      withFile(async (fd) => {
        assert.is(await codeOf(a.send("12345")), "ERR_CHANNEL_PAYLOAD_TOO_LARGE");
        assert.is(await codeOf(a.send("", [fd, fd, fd])), "ERR_CHANNEL_TOO_MANY_FDS");
        const owned = OwnedFd.from(fd);
        owned.close();
        assert.is(await codeOf(a.send("", [owned])), "ERR_FD_CLOSED");
        assert.instance(await errorOf(a.send(5 as never)), TypeError);
        assert.is(await a.send("1234", [fd, fd]), 1n);
        (await frameOf(b))[Symbol.dispose]();
      }),
    { maxPayload: 4, maxFds: 2 },
  ),
);

test(
  "burst after burst: concurrent calls on one channel, again and again",
  withChannels(async (a, b) => {
    for (let burst = 0; burst < 3; burst++) {
      const texts = Array.from({ length: 5 }, (_, i) => `${burst}.${i}`);
      const received = Promise.all(texts.map(() => frameOf(b)));
      await Promise.all(texts.map((text) => a.send(text)));
      assert.equal(
        (await received).map(({ payload }) => payload.toString()),
        texts,
      );
    }
  }),
);

test("order-at-every-turn: a call that is made at any moment comes after the calls before it", async () => {
  for (let turns = 0; turns < 40; turns++) {
    const [a, b] = FdChannel.pair();
    const sends = [a.send("first"), a.send("second")];
    for (let i = 0; i < turns; i++) await null;
    sends.push(a.send("third"));
    assert.equal(await Promise.all(sends), [1n, 2n, 3n]);
    for (const text of ["first", "second", "third"]) assert.is((await frameOf(b)).payload.toString(), text);
    a.close();
    b.close();
  }
});

test("wire format: the bytes that docs/wire-format.md shows are what a channel sends", async () => {
  const [, shown] = /```\n((?:[0-9a-f]{2}\s+)+)```/.exec(readFileSync("docs/wire-format.md", "utf8"))!;
  const [socket, raw] = UnixStream.pair();
  const channel = FdChannel.over(socket);
  for (const skipped of ["a", "b"]) {
    await channel.send(skipped);
    await raw.recvFdsExact(0);
  }
  await withFile((fd) => channel.send("hello", [fd]));
  const message = await raw.recvFdsExact(1);
  assert.is(message.data.toString("hex"), shown!.replace(/\s/g, ""));
  message[Symbol.dispose]();
  channel.close();
  raw.close();
});

test("records: over a seqpacket socket, frames larger than a record, with more descriptors than one record can carry", () =>
  withFile(async (fd) => {
    const [a, b] = UnixSeqpacket.pair();
    const [left, right] = [FdChannel.over(a, { maxFds: 300 }), FdChannel.over(b, { maxFds: 300 })];
    const payload = Buffer.alloc(300_000, "abc");
    const sending = left.send(payload, new Array(300).fill(fd));
    const frame = await frameOf(right);
    await sending;
    assert.ok(frame.payload.equals(payload));
    assert.is(frame.fds.length, 300);
    frame[Symbol.dispose]();
    await left.send("small");
    assert.is((await frameOf(right)).payload.toString(), "small");
    left.close();
    assert.is(await right.recv(), null);
    right.close();
  }));

test("twenty-messages: a frame without payload carries one message of descriptors per byte of its header", () =>
  withFile(async (fd) => {
    for (const pair of [UnixStream.pair(), UnixSeqpacket.pair()]) {
      const most = 20 * pair[0].platform.abi.maxFdsPerMessage;
      const [a, b] = pair.map((socket) => FdChannel.over(socket, { maxFds: 65535 })) as [FdChannel, FdChannel];
      assert.is(await codeOf(a.send("", new Array(most + 1).fill(fd))), "ERR_CHANNEL_TOO_MANY_FDS");
      const sending = a.send("", new Array(most).fill(fd));
      const frame = await frameOf(b);
      assert.is(await sending, 1n);
      assert.is(frame.fds.length, most);
      frame[Symbol.dispose]();
      a.close();
      b.close();
    }
  }));

test(
  "loop-left: the channel stays open, and continues after the last frame",
  withChannels(async (a, b) => {
    for (const text of ["one", "two"]) await a.send(text);
    for await (const frame of b) {
      assert.is(frame.payload.toString(), "one");
      break;
    }
    assert.is(b.closed, false);
    assert.is((await frameOf(b)).payload.toString(), "two");
  }),
);

test(
  "announced: an announced payload costs no memory before it arrives",
  withRawPeer(
    async (peer, channel) => {
      await peer.sendFds(header({ payload: 0x7fffff00 }));
      const before = process.memoryUsage().arrayBuffers;
      const abort = new AbortController();
      const receiving = channel.recv({ signal: abort.signal });
      await sleep(5);
      abort.abort();
      assert.is((await errorOf(receiving)).name, "AbortError");
      const grown = process.memoryUsage().arrayBuffers - before;
      assert.ok(grown < 1_000_000, `${grown} bytes`);
    },
    { maxPayload: 0x7fffff00 },
  ),
);

test("used-before: a channel over a stream that has received bytes begins after them", () =>
  withFile(async (fd) => {
    const [peer, socket] = UnixStream.pair();
    await peer.sendFds("hello", [fd]);
    (await socket.recvFds(1))[Symbol.dispose]();
    const [a, b] = [FdChannel.over(peer, { maxPayload: 0 }), FdChannel.over(socket, { maxPayload: 0 })];
    await a.send("", [fd]);
    const frame = await frameOf(b);
    assert.is(frame.fds.length, 1);
    frame[Symbol.dispose]();
    assert.is(await codeOf(a.send("x")), "ERR_CHANNEL_PAYLOAD_TOO_LARGE");
    a.close();
    b.close();
  }));

const SYSTEMS: readonly AbiName[] = [
  "linux-s390x-glibc",
  "darwin-arm64",
  "freebsd-amd64",
  "openbsd-amd64",
  "netbsd-amd64",
  "dragonfly-x86_64",
  "illumos-amd64",
];

test("every-system-records: payloads larger than a record that fits into the socket buffer", async () => {
  for (const abi of SYSTEMS.filter((name) => !name.startsWith("darwin"))) {
    const kernel = new VirtualKernel(abi, { bufferBytes: 5000 });
    const process = kernel.process({ descriptors: 1000 });
    const [a, b] = UnixSeqpacket.pair({ platform: process.platform }).map((socket) =>
      FdChannel.over(socket, { maxFds: 300 }),
    ) as [FdChannel, FdChannel];
    const file = process.open("f");
    for (const fds of [0, 300]) {
      const sending = a.send("x".repeat(30_000), new Array(fds).fill(file));
      const frame = await frameOf(b);
      await sending;
      assert.is(frame.payload.toString(), "x".repeat(30_000), abi);
      assert.is(frame.fds.length, fds, abi);
      frame[Symbol.dispose]();
    }
    a.close();
    b.close();
    file.close();
    kernel.check();
  }
});

test("every-system-records: a size that the system has refused is not tried again", async () => {
  const kernel = new VirtualKernel("openbsd-amd64", { bufferBytes: 5000 });
  const [a, b] = UnixSeqpacket.pair({ platform: kernel.process().platform }).map((socket) =>
    FdChannel.over(socket),
  ) as [FdChannel, FdChannel];
  let sends = 0;
  kernel.fault = ({ name }) => {
    if (name === "sendmsg") sends++;
    return null;
  };
  const counts: number[] = [];
  for (let i = 0; i < 2; i++) {
    const sending = a.send("x".repeat(4000));
    await frameOf(b);
    await sending;
    const large = a.send("x".repeat(30_000));
    await frameOf(b);
    await large;
    counts.push(sends);
    sends = 0;
  }
  assert.ok(counts[1]! < counts[0]!, counts.join());
  a.close();
  b.close();
  kernel.check();
});

test("every-system-records: a record of which a part was sent is not sent again, smaller", async () => {
  const kernel = new VirtualKernel("freebsd-amd64", { bufferBytes: 5000 });
  const [a, b] = UnixSeqpacket.pair({ platform: kernel.process().platform }).map((socket) =>
    FdChannel.over(socket),
  ) as [FdChannel, FdChannel];
  let sends = 0;
  kernel.fault = ({ name }) => (name === "sendmsg" && ++sends === 2 ? { errno: "EMSGSIZE" } : null);
  const receiving = codeOf(b.recv());
  assert.is(await codeOf(a.send("x".repeat(30_000))), "EMSGSIZE");
  assert.is(sends, 2);
  a.close();
  assert.is(await receiving, "ERR_CHANNEL_UNEXPECTED_EOF");
  b.close();
  kernel.check();
});

test("every-system: frames with more descriptors than one message can carry", async () => {
  for (const abi of SYSTEMS) {
    const kernel = new VirtualKernel(abi, { seed: 11, bufferBytes: 5000 });
    const process = kernel.process({ descriptors: 1000 });
    const [a, b] = FdChannel.pair({ platform: process.platform, maxFds: 300, frameTimeout: 1000 });
    const file = process.open("f");
    for (const [payload, fds] of [
      ["one", 1],
      ["", 0],
      ["x".repeat(9000), 300],
      ["last", 90],
    ] as const) {
      const sending = a.send(payload, new Array(fds).fill(file));
      const frame = await frameOf(b);
      await sending;
      assert.is(frame.payload.toString(), payload, abi);
      assert.is(frame.fds.length, fds, abi);
      frame[Symbol.dispose]();
    }
    // The peer ends in the middle of a frame that is larger than the kernel's buffer.
    const half = codeOf(a.send("x".repeat(9000)));
    a.close();
    assert.is(await half, "ERR_CHANNEL_CLOSED", abi);
    assert.is(await codeOf(b.recv()), "ERR_CHANNEL_UNEXPECTED_EOF", abi);
    b.close();
    file.close();
    kernel.check();
  }
});

/** Sends a socket with data in it, closes it, closes another socket, and receives it: what can be read from it (XNU, unp_gc). */
async function passedOn(acknowledges: boolean): Promise<string> {
  const kernel = new VirtualKernel("darwin-arm64");
  const process = kernel.process();
  const { platform } = process;
  const answers = (frame: Frame) => (/^\d+$/.test(String(frame.payload)) ? BigInt(String(frame.payload)) : null);
  const [a, b] = FdChannel.pair({ platform, ...(acknowledges ? { acknowledges: answers } : {}) });
  const [c, d] = UnixStream.pair({ platform });
  const [e, f] = UnixStream.pair({ platform });
  c.sendFdsSync("hello");
  await a.send("take it", [d]);
  d.close();
  e.close();
  const open = process.descriptors.size;
  const frame = await frameOf(b);
  // Not an acknowledgement.
  await b.send("");
  await frameOf(a);
  assert.is(process.descriptors.size, open + 1);
  await b.send(String(frame.messageId));
  await frameOf(a);
  assert.is(process.descriptors.size, open + (acknowledges ? 0 : 1), "the duplicate is closed");
  const received = UnixStream.from(frame.fds[0]!);
  const text = received.recvFdsSync(0).data.toString();
  for (const one of [a, b, c, f, received]) one.close();
  kernel.check();
  return text;
}

test("acknowledges: on Darwin, a socket that its sender has closed arrives whole", async () => {
  assert.is(await passedOn(false), "");
  assert.is(await passedOn(true), "hello");
});

test("acknowledges: duplicates are bounded, and closed with the channel, after a failed send, and for what is acknowledged alone", async () => {
  const kernel = new VirtualKernel("darwin-arm64", { bufferBytes: 1 << 20 });
  const process = kernel.process({ descriptors: 4096 });
  const { platform } = process;
  let acknowledged: unknown = null;
  const [a, b] = FdChannel.pair({ platform, maxFds: 600, acknowledges: () => acknowledged as bigint | null });
  const file = process.open("f");
  const open = process.descriptors.size;
  assert.is(await a.send("", new Array(600).fill(file)), 1n);
  assert.is(await codeOf(a.send("", new Array(425).fill(file))), "ERR_CHANNEL_TOO_MANY_FDS");
  assert.is(await a.send("", new Array(424).fill(file)), 2n);
  assert.is(process.descriptors.size, open + 1024);
  for (const id of [0n, 1n]) {
    await b.send("");
    acknowledged = id;
    await frameOf(a);
    assert.is(process.descriptors.size, open + 1024 - 600 * Number(id));
  }
  // A send of which nothing was sent keeps nothing.
  kernel.fault = ({ name }) => (name === "sendmsg" ? { errno: "ENOBUFS" } : null);
  assert.is(await codeOf(a.send("", [file])), "ENOBUFS");
  kernel.fault = ({ name }) => (name === "fcntl" ? { errno: "EMFILE" } : null);
  assert.is(await codeOf(a.send("", [file])), "EMFILE");
  kernel.fault = null;
  assert.is(process.descriptors.size, open + 424);
  // A wrong answer is the caller's mistake: the next frame arrives.
  acknowledged = 2;
  await b.send("wrong");
  assert.is(await codeOf(a.recv()), "ERR_INVALID_ARG_TYPE");
  acknowledged = null;
  await b.send("next");
  assert.is((await frameOf(a)).payload.toString(), "next");
  // A getter that closes the channel.
  const getter = {
    get fd() {
      a.close();
      return file.fd;
    },
  };
  assert.is(await codeOf(a.send("", [getter])), "ERR_CHANNEL_CLOSED");
  assert.is(await codeOf(async () => FdChannel.pair({ platform, acknowledges: 1 as never })), "ERR_INVALID_ARG_TYPE");
  b.close();
  file.close();
  await kernel.idle();
  kernel.check();
});

test.run();
