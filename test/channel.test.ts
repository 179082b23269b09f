/** Channels: frames with descriptors, in order and once, whatever the peer does. */

import { closeSync, fstatSync, openSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { FdChannel, type Frame, OwnedFd, spawn, UnixSeqpacket, UnixStream } from "unix-ancillary";
import type { AbiName } from "unix-ancillary/core";
import { VirtualKernel } from "unix-ancillary/testing";
import * as assert from "uvu/assert";
import { codeOf, errorOf, fileWith, leakChecked, openFds, role, run } from "./support.js";

if (role === "echo") {
  // Sends back what it gets, with what it has open and what a child of its own sees.
  const channel = FdChannel.fromParent({ peer: { uid: process.getuid!() } });
  const again = await codeOf(() => FdChannel.fromParent());
  const seen = "echo $UNIX_ANCILLARY_CHANNEL_FD; [ -S /proc/$$/fd/3 ] && echo inherited || echo not";
  const child = await run("sh", ["-c", seen]);
  for await (const frame of channel) {
    if (frame.payload.toString() === "about") {
      const about = { again, grandchild: child.stdout.trim(), parent: channel.peer?.pid };
      await channel.send(JSON.stringify(about));
    } else await channel.send(frame.payload, frame.fds);
    frame[Symbol.dispose]();
  }
  channel.close();
  process.exit(0);
}
if (role === "lonely") {
  console.log(await codeOf(() => FdChannel.fromParent()));
  process.exit(0);
}

const test = leakChecked("channel");

function withFile(body: (fd: number) => unknown): Promise<void> {
  const fd = openSync(fileWith("in a frame"), "r");
  return Promise.resolve()
    .then(() => body(fd))
    .then(
      () => closeSync(fd),
      (error) => {
        closeSync(fd);
        throw error;
      },
    );
}

function withChannels(
  body: (a: FdChannel, b: FdChannel) => unknown,
  options?: Parameters<typeof FdChannel.pair>[0],
): () => Promise<void> {
  return async () => {
    const [a, b] = FdChannel.pair(options);
    try {
      await body(a, b);
    } finally {
      a.close();
      b.close();
    }
  };
}

/** A channel whose peer writes bytes by hand. */
function withRawPeer(
  body: (peer: UnixStream, channel: FdChannel) => unknown,
  options?: Parameters<typeof FdChannel.over>[1],
): () => Promise<void> {
  return async () => {
    const [peer, socket] = UnixStream.pair();
    const channel = FdChannel.over(socket, options);
    try {
      await body(peer, channel);
    } finally {
      peer.close();
      channel.close();
    }
  };
}

/** A header, byte for byte as the wire format says. */
function header({ magic = "UANC", version = 1, flags = 0, fds = 0, payload = 0, id = 1n } = {}): Buffer {
  const bytes = Buffer.alloc(20);
  bytes.write(magic, 0, "latin1");
  bytes[4] = version;
  bytes[5] = flags;
  bytes.writeUInt16BE(fds, 6);
  bytes.writeUInt32BE(payload, 8);
  bytes.writeBigUInt64BE(id, 12);
  return bytes;
}

async function frameOf(channel: FdChannel): Promise<Frame> {
  const frame = await channel.recv();
  assert.ok(frame);
  return frame;
}

test(
  "round-trip: payload, descriptors, ids, and null at the end",
  withChannels((a, b) =>
    withFile(async (fd) => {
      assert.is(await a.send("one", [fd, fd]), 1n);
      assert.is(await a.send(new Uint8Array([1, 2, 3])), 2n);
      assert.is(await a.send("", [fd]), 3n);
      const one = await frameOf(b);
      assert.is(one.messageId, 1n);
      assert.is(one.payload.toString(), "one");
      assert.equal(
        one.fds.map((owned) => fstatSync(owned.fd).ino),
        [fstatSync(fd).ino, fstatSync(fd).ino],
      );
      one[Symbol.dispose]();
      const two = await frameOf(b);
      assert.equal([...two.payload], [1, 2, 3]);
      assert.is(two.fds.length, 0);
      const three = await frameOf(b);
      assert.is(three.payload.length, 0);
      assert.is(three.fds.length, 1);
      three[Symbol.dispose]();
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
  "back-pressure: a send is over when the kernel has it, and not before",
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
  "bytes-detached: a frame that lost its bytes in the queue is refused, the next one goes",
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
  "descriptors-of-the-next-frame: glued behind, they stay its own",
  withRawPeer((peer, channel) =>
    withFile(async (fd) => {
      // Plain bytes and the next frame's first bytes come in one receive.
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

const HOSTILE: readonly [string, string, (peer: UnixStream, fd: number) => Promise<unknown>][] = [
  ["wrong-magic", "ERR_CHANNEL_MAGIC", (peer) => peer.sendFds(header({ magic: "HTTP" }))],
  ["wrong-version", "ERR_CHANNEL_VERSION", (peer) => peer.sendFds(header({ version: 2 }))],
  ["unknown-flags", "ERR_CHANNEL_FLAGS", (peer) => peer.sendFds(header({ flags: 128 }))],
  ["length-that-lies", "ERR_CHANNEL_PAYLOAD_TOO_LARGE", (peer) => peer.sendFds(header({ payload: 0xffffffff }))],
  ["too-many-announced", "ERR_CHANNEL_TOO_MANY_FDS", (peer) => peer.sendFds(header({ fds: 5 }))],
  [
    "too-many-sent",
    "ERR_CHANNEL_TOO_MANY_FDS",
    async (peer, fd) => {
      await peer.sendFds(header({ payload: 1000 }));
      for (let i = 0; i < 3; i++) await peer.sendFds("x", new Array(250).fill(fd));
    },
  ],
  ["fewer-than-announced", "ERR_CHANNEL_FD_COUNT", (peer, fd) => peer.sendFds(header({ fds: 2 }), [fd])],
  ["more-than-announced", "ERR_CHANNEL_FD_COUNT", (peer, fd) => peer.sendFds(header({ fds: 1 }), [fd, fd])],
  [
    "on-the-wrong-bytes",
    "ERR_CHANNEL_FD_COUNT",
    async (peer, fd) => {
      await peer.sendFds(header({ fds: 1 }));
      await peer.sendFds(header({ id: 2n }), [fd]);
    },
  ],
  [
    "end-in-the-header",
    "ERR_CHANNEL_UNEXPECTED_EOF",
    async (peer) => {
      await peer.sendFds("UANC");
      peer.close();
    },
  ],
  [
    "end-in-the-payload",
    "ERR_CHANNEL_UNEXPECTED_EOF",
    async (peer, fd) => {
      await peer.sendFds(header({ fds: 1, payload: 9 }), [fd]);
      peer.close();
    },
  ],
];
for (const [what, code, attack] of HOSTILE) {
  test(
    `${what}: ${code}, nothing stays open, and nothing is believed afterwards`,
    withRawPeer(
      (peer, channel) =>
        withFile(async (fd) => {
          const before = openFds().size;
          const [error] = await Promise.all([errorOf(channel.recv()), attack(peer, fd)]);
          assert.is((error as { code?: string }).code, code);
          assert.is(error.name, "ChannelError");
          const after = openFds().size;
          assert.ok(after <= before, `${after} descriptors, there were ${before}`);
          assert.is(await codeOf(channel.recv()), channel.closed ? "ERR_CHANNEL_CLOSED" : "ERR_CHANNEL_POISONED");
        }),
      { maxFds: 4, maxPayload: 1_000_000 },
    ),
  );
}

test(
  "one-byte-at-a-time: slow, and whole",
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
  "never-completed: meets its deadline; between frames nothing is due",
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
  "abort-within-a-frame: the bytes stay, and the next receive goes on with them",
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
  "half-sent: poisons what follows; withdrawn before it began: nothing happened",
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
  "limits-hold-for-sending: nothing is sent",
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

test("policy: a peer that is not allowed is closed before any frame", async () => {
  for (const peer of [{ uid: 4_000_000 }, { pid: 1 }, () => false]) {
    const [a, b] = UnixStream.pair();
    assert.is(await codeOf(() => FdChannel.over(a, { peer })), "ERR_CHANNEL_PEER_REJECTED");
    assert.is(a.closed, true);
    b.close();
  }
  const [a, b] = FdChannel.pair({ peer: (who) => who.pid === process.pid && who.uid === process.getuid!() });
  a.close();
  b.close();
  const [c, d] = UnixStream.pair();
  assert.is(await codeOf(() => FdChannel.over(c, { peer: { pud: 1 } as object })), "ERR_INVALID_ARG_VALUE");
  assert.is(c.closed, false);
  c.close();
  d.close();
});

test(
  "closed: what waits is told so, and what came is closed",
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

test("records: over a seqpacket socket, larger than a record and with more descriptors than one takes", () =>
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

test("child: a channel to a process of its own, inherited by nobody else", () =>
  withFile(async (fd) => {
    const { child, channel } = spawn(process.execPath, [fileURLToPath(import.meta.url)], {
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: "echo" },
    });
    const exited = new Promise((resolve) => child.once("exit", resolve));
    assert.is(channel.peer?.pid, child.pid);
    await channel.send("about");
    const about = JSON.parse((await frameOf(channel)).payload.toString());
    assert.equal(about, { again: "ERR_NO_PARENT", grandchild: "not", parent: process.pid });
    for (let i = 0; i < 20; i++) {
      await channel.send(`${i}`, [fd]);
      const frame = await frameOf(channel);
      assert.is(frame.payload.toString(), `${i}`);
      assert.is(fstatSync(frame.fds[0]!.fd).ino, fstatSync(fd).ino);
      frame[Symbol.dispose]();
    }
    channel.close();
    assert.is(await exited, 0);
  }));

test("no-parent, no-program: said, and nothing stays open", async () => {
  const { UNIX_ANCILLARY_CHANNEL_FD: _, ...env } = process.env;
  for (const value of [undefined, "0", "999", "x"]) {
    const { stdout } = await run(process.execPath, [fileURLToPath(import.meta.url)], {
      env: {
        ...env,
        UNIX_ANCILLARY_TEST_ROLE: "lonely",
        ...(value === undefined ? {} : { UNIX_ANCILLARY_CHANNEL_FD: value }),
      },
    });
    assert.is(stdout.trim(), "ERR_NO_PARENT", String(value));
  }
  const { child, channel } = spawn("/no/such/program");
  const error = (await new Promise((resolve) => child.once("error", resolve))) as NodeJS.ErrnoException;
  assert.is(error.code, "ENOENT");
  assert.is(await channel.recv(), null);
  channel.close();
});

test("every-system: frames with more descriptors than one message takes", async () => {
  const systems: AbiName[] = [
    "linux-s390x-glibc",
    "darwin-arm64",
    "freebsd-amd64",
    "openbsd-amd64",
    "netbsd-amd64",
    "dragonfly-x86_64",
    "illumos-amd64",
  ];
  for (const abi of systems) {
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
    // The peer ends in the middle of a frame that is larger than what the kernel keeps.
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
