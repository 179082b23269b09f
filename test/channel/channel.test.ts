/** Channels: frames with descriptors arrive whole, in order and once. */

import { fstatSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { FdChannel, OwnedFd, UnixSeqpacket, UnixStream } from "unix-ancillary";
import type { AbiName } from "unix-ancillary/core";
import { VirtualKernel } from "unix-ancillary/testing";
import * as assert from "uvu/assert";
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

test.run();
