/** The peers of channels: hostile peers, policies, a Python implementation of the wire format, and child processes. */

import { fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { FdChannel, OwnedFd, spawn, UnixListener, UnixSeqpacket, UnixStream } from "unix-ancillary";
import * as assert from "uvu/assert";
import { closeSync, fstatSync, openSync } from "../descriptors.ts";
import { again, codeOf, errorOf, leakChecked, openFds, role, run } from "../support.ts";
import { frameOf, header, withFile } from "./channel-support.ts";

/** Starts a worker that runs this file in a role, and returns its first message. */
async function workerSays(role: string): Promise<unknown> {
  const worker = new Worker(new URL(import.meta.url), {
    env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: role },
    execArgv: [],
  });
  const said = await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
  await worker.terminate();
  return said;
}
const say = async (what: unknown) => (await import("node:worker_threads")).parentPort!.postMessage(what);

if (role === "echo") {
  // Sends every frame back. The answer to "about" has what the process and a child of its own inherited.
  const worker = await workerSays("thread");
  const channel = FdChannel.fromParent({ peer: { uid: process.getuid!() } });
  const twice = await codeOf(() => FdChannel.fromParent());
  const seen = "echo $UNIX_ANCILLARY_CHANNEL_FD; [ -S /proc/$$/fd/3 ] && echo inherited || echo not";
  const child = await run("sh", ["-c", seen]);
  for await (const frame of channel) {
    if (frame.payload.toString() === "about") {
      const about = { again: twice, worker, grandchild: child.stdout.trim(), parent: channel.peer?.pid };
      await channel.send(JSON.stringify(about));
    } else await channel.send(frame.payload, frame.fds);
    frame[Symbol.dispose]();
  }
  channel.close();
  process.exit(0);
}
if (role === "thread") await say(await codeOf(() => FdChannel.fromParent()));
if (role === "starter") {
  const { channel } = spawn("python3", ["-c", inventory()], { stdio: ["ignore", "ignore", "inherit"] });
  await say((await frameOf(channel)).payload.toString());
  channel.close();
}
if (role === "unaware") {
  // A program that takes no channel, and has a child of its own: the variables go on to it, descriptor 3 is Node's channel there.
  const child = fork(fileURLToPath(import.meta.url), {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: "grandchild" },
  });
  child.send("question");
  child.on("message", (answer) => console.log(answer));
}
if (role === "grandchild") {
  const code = await codeOf(() => FdChannel.fromParent());
  process.once("message", (question) => {
    const left = Object.keys(process.env).filter((name) => name.includes("CHANNEL_")).length;
    process.send!(`${question}: ${code}, ${left}`, () => process.disconnect());
  });
}
if (role === "inherits") {
  const list = () => run("sh", ["-c", "cd /proc/$$/fd; ls"]);
  const kept = (await list()).stdout.includes("40");
  const { child, channel } = spawn("sh", ["-c", "cd /proc/$$/fd; ls"], { stdio: ["ignore", "pipe", "inherit", 41] });
  let output = "";
  child.stdout!.on("data", (bytes) => (output += bytes));
  await new Promise((resolve) => child.once("close", resolve));
  channel.close();
  const still = (await list()).stdout.includes("40");
  console.log(JSON.stringify({ child: output.trim().split("\n"), kept: kept && still }));
  process.exit(0);
}
if (role === "lonely") {
  console.log(await codeOf(() => FdChannel.fromParent()));
  // The garbage collector must not close descriptors that this process does not own.
  for (let i = 0; i < 3; i++) {
    await sleep(20);
    (globalThis as { gc?: () => void }).gc?.();
  }
  console.log(fstatSync(0).isFile());
  process.exit(0);
}

const test = leakChecked("channel-peers");

/** An attack, over a stream or over records. */
type Raw = UnixStream | UnixSeqpacket;

async function attacked(
  pair: [UnixStream, UnixStream] | [UnixSeqpacket, UnixSeqpacket],
  attack: (peer: Raw, fd: number) => Promise<unknown>,
  code: string,
): Promise<void> {
  const [peer, socket] = pair;
  const channel = FdChannel.over(socket, { maxFds: 4, maxPayload: 1_000_000 });
  await withFile(async (fd) => {
    const before = openFds().size;
    const [error] = await Promise.all([errorOf(channel.recv()), attack(peer, fd)]);
    assert.is((error as { code?: string }).code, code);
    assert.is(error.name, "ChannelError");
    // Many are closed by a thread.
    for (let turn = 0; turn < 100 && openFds().size > before; turn++) await sleep(5);
    const after = openFds().size;
    assert.ok(after <= before, `${after} descriptors, there were ${before}`);
    assert.is(await codeOf(channel.recv()), "ERR_CHANNEL_POISONED");
  });
  peer.close();
  channel.close();
}

const HOSTILE: readonly [string, string, (peer: Raw, fd: number) => Promise<unknown>][] = [
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
  test(`${what}: ${code}, no descriptor stays open, and later frames are refused`, async () => {
    await attacked(UnixStream.pair(), attack, code);
    await attacked(UnixSeqpacket.pair(), attack, code);
  });
}

test("large-ids: all 64 bits of the id of a peer's frame are read", async () => {
  const [peer, socket] = UnixStream.pair();
  const channel = FdChannel.over(socket);
  for (const id of [0n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n + 1n, 2n ** 64n - 1n]) {
    await peer.sendFds(header({ id }));
    assert.is((await channel.recv())?.messageId, id);
  }
  peer.close();
  channel.close();
});

test("frames-before-a-failure: they are received, and then the failure", async () => {
  const [peer, socket] = UnixStream.pair();
  const channel = FdChannel.over(socket);
  await peer.sendFds(header({ id: 1n }));
  await peer.sendFds(header({ id: 2n }));
  await peer.sendFds(header({ id: 3n, fds: 1 }), [0]);
  const { system } = socket.platform as unknown as { system: { recvmsg(...all: unknown[]): number } };
  const { recvmsg } = system;
  // As with a full descriptor table: no descriptor, and MSG_CTRUNC. The kernel joins the bytes of the three.
  system.recvmsg = (fd, payload, offset, length, _capacity, flags, named) =>
    recvmsg.call(system, fd, payload, offset, length, 0, flags, named);
  try {
    for (const id of [1n, 2n]) assert.is((await channel.recv())?.messageId, id);
    assert.is(await codeOf(channel.recv()), "ERR_ANCILLARY_TRUNCATED");
    assert.is(await codeOf(channel.recv()), "ERR_CHANNEL_POISONED");
  } finally {
    system.recvmsg = recvmsg;
  }
  peer.close();
  channel.close();
});

test("on-no-byte: descriptors of an empty record belong to no frame", () =>
  attacked(
    UnixSeqpacket.pair(),
    async (peer, fd) => {
      await peer.sendFds("", [fd]);
      await peer.sendFds(header({ fds: 1 }));
    },
    "ERR_CHANNEL_FD_COUNT",
  ));

test("policy: the connection of a rejected peer is closed before any frame", async () => {
  const angry = () => {
    throw new Error("mine");
  };
  for (const [peer, code] of [
    [{ uid: 4_000_000 }, "ERR_CHANNEL_PEER_REJECTED"],
    [{ pid: 1 }, "ERR_CHANNEL_PEER_REJECTED"],
    [() => false, "ERR_CHANNEL_PEER_REJECTED"],
    [angry, "no code"],
    // A promise or another truthy value does not accept a peer.
    [async () => true, "ERR_INVALID_ARG_TYPE"],
    [() => 1 as never, "ERR_INVALID_ARG_TYPE"],
  ] as const) {
    const [a, b] = UnixStream.pair();
    assert.is(await codeOf(() => FdChannel.over(a, { peer: peer as () => boolean })), code);
    assert.is(a.closed, true);
    b.close();
  }
  const [a, b] = FdChannel.pair({ peer: (who) => who.pid === process.pid && who.uid === process.getuid!() });
  a.close();
  b.close();
  // The first end is accepted, and is closed with the second one.
  let asked = 0;
  const first = () => ++asked === 1;
  assert.is(await codeOf(() => FdChannel.pair({ peer: first })), "ERR_CHANNEL_PEER_REJECTED");
});

test("policy-without-numbers: refused, as it would accept every peer", async () => {
  const [a, b] = UnixStream.pair();
  for (const peer of [{}, { uid: undefined }, [], new Map([["uid", 0]]), { pud: 1 }])
    assert.is(await codeOf(() => FdChannel.over(a, { peer: peer as object })), "ERR_INVALID_ARG_VALUE");
  assert.is(a.closed, false);
  a.close();
  b.close();
});

/** A Python program that sends its open descriptors in a frame, and ends when its standard input or the channel ends. */
function inventory(): string {
  return `
import os, socket, struct
def is_open(fd):
    try: os.fstat(fd)
    except OSError: return False
    return True
named = int(os.environ["UNIX_ANCILLARY_CHANNEL_FD"])
channel = socket.socket(fileno=named)
text = " ".join([str(named)] + [str(fd) for fd in range(1000) if is_open(fd)]).encode()
channel.sendall(b"UANC\\1\\0" + struct.pack(">HIQ", 0, len(text), 1) + text)
channel.recv(1)
`;
}

test.python("inheritance: the child gets exactly one more descriptor, with the number in the variable", () =>
  withFile(async (fd) => {
    const owned = Array.from({ length: 30 }, () => OwnedFd.from(fd));
    const [a, b] = UnixStream.pair();
    await a.sendFds("x", owned);
    const received = await b.recvFds(30);
    const args = ["-c", inventory()];
    const quoted = `exec python3 -c '${inventory()}'`;
    for (const [named, start] of [
      [3, () => spawn("python3", args)],
      [3, () => spawn("python3", args, { stdio: "ignore", detached: true })],
      [3, () => spawn("python3", args, { stdio: ["ignore"] })],
      [4, () => spawn("python3", args, { stdio: ["ignore", "pipe", "inherit", "ipc"] })],
      [5, () => spawn("python3", args, { stdio: ["ignore", "ignore", "inherit", fd, "pipe"] })],
      [3, () => spawn(quoted, { shell: true, stdio: "ignore" })],
    ] as const) {
      const { child, channel } = start();
      const closed = new Promise((resolve) => child.once("close", resolve));
      const [said, ...open] = (await frameOf(channel)).payload.toString().split(" ");
      assert.is(said, String(named));
      assert.equal(
        open,
        Array.from({ length: named + 1 }, (_, i) => String(i)),
      );
      assert.is(channel.peer?.pid, child.pid);
      channel.close();
      await closed;
    }
    received[Symbol.dispose]();
    a.close();
    b.close();
    for (const fd of owned) fd.close();
  }),
);

test.python("started-by-a-worker: the child inherits the same descriptors", async () => {
  const said = String(await workerSays("starter")).split(" ");
  assert.equal(said.slice(0, 5), ["3", "0", "1", "2", "3"]);
});

/** A Python peer: reads frames, and answers with their parsed headers, then with the same payload and descriptors. */
const PYTHON = `
import hashlib, json, os, socket, struct
channel = socket.socket(fileno=int(os.environ["UNIX_ANCILLARY_CHANNEL_FD"]))
queued, fds = b"", []

def take(count):
    global queued
    while len(queued) < count:
        data, more, flags, _ = socket.recv_fds(channel, 65536, 253)
        assert not flags & socket.MSG_CTRUNC
        if not data: return None
        queued += data
        fds.extend(more)
    taken, queued = queued[:count], queued[count:]
    return taken

def send(number, payload, attached):
    frame = b"UANC" + bytes([1, 0]) + struct.pack(">HIQ", len(attached), len(payload), number) + payload
    # A short one goes byte by byte.
    piece = 1 if len(frame) < 200 else len(frame)
    while frame:
        now, attached = attached[:253], attached[253:]
        data = [frame[: 1 if attached else piece]]
        frame = frame[socket.send_fds(channel, data, now) if now else channel.sendmsg(data) :]

number = 0
while (head := take(20)) is not None:
    assert head[:6] == b"UANC\\1\\0", head
    count, length, got = struct.unpack(">HIQ", head[6:])
    payload = take(length)
    attached, fds[:count] = fds[:count], []
    number += 1
    send(number, json.dumps([got, len(payload), hashlib.sha256(payload).hexdigest(), [os.fstat(fd).st_ino for fd in attached]]).encode(), [])
    number += 1
    send(number, payload, attached)
    for fd in attached: os.close(fd)
assert not fds and not queued
`;

test.python("python: another implementation of the wire format, in both directions", () =>
  withFile(async (fd) => {
    const { createHash } = await import("node:crypto");
    const nothing = openSync("/dev/null", "r");
    const inodes = [fstatSync(fd).ino, fstatSync(nothing).ino];
    const { child, channel } = spawn("python3", ["-c", PYTHON], {
      stdio: ["ignore", "inherit", "inherit"],
      maxFds: 600,
    });
    const exited = new Promise((resolve) => child.once("exit", resolve));
    let id = 0;
    for (const [payload, count] of [
      ["hello", 1],
      ["", 0],
      ["", 2],
      ["\u00e9 \u{1f600}", 3],
      ["x".repeat(300_000), 0],
      ["y".repeat(300_000), 600],
      ["", 600],
    ] as const) {
      const fds = Array.from({ length: count }, (_, i) => (i % 2 === 0 ? fd : nothing));
      const sending = channel.send(payload, fds);
      const understood = JSON.parse((await frameOf(channel)).payload.toString());
      assert.is(await sending, BigInt(++id));
      const bytes = Buffer.from(payload);
      const sum = createHash("sha256").update(bytes).digest("hex");
      assert.equal(understood, [id, bytes.length, sum, fds.map((_, i) => inodes[i % 2])]);
      const echo = await frameOf(channel);
      assert.is(echo.messageId, BigInt(2 * id));
      assert.is(echo.payload.toString(), payload);
      assert.equal(
        echo.fds.map((owned) => fstatSync(owned.fd).ino),
        understood[3],
      );
      echo[Symbol.dispose]();
    }
    channel.close();
    assert.is(await exited, 0);
    closeSync(nothing);
  }),
);

test("a child gets the variables that the object of its environment inherits, as in Node", async () => {
  const env = Object.create({ ...process.env, UNIX_ANCILLARY_INHERITED: "yes" });
  const { child, channel } = spawn("sh", ["-c", 'test "$UNIX_ANCILLARY_INHERITED"'], { env });
  channel.close();
  assert.is((await once(child, "exit"))[0], 0);
});

test.python("accepted: the peer is the process that connected", async () => {
  const name = `\0unix-ancillary-channel-${process.pid}`;
  const listener = UnixListener.bind(name);
  const source = `import socket; s = socket.socket(socket.AF_UNIX); s.connect("\\0${name.slice(1)}"); s.recv(1)`;
  // As root, the child runs as another user; 65534 would be nobody.
  const uid = process.getuid!() === 0 ? 65533 : process.getuid!();
  const gid = process.getgid!() === 0 ? 65533 : process.getgid!();
  const { child, channel } = spawn("python3", ["-c", source], {
    uid,
    gid,
    stdio: ["ignore", "inherit", "inherit"],
    // Bun and Deno take the first program of that name in the PATH, even if that user may not run it.
    env: { ...process.env, PATH: "/usr/local/bin:/usr/bin:/bin" },
  });
  const exited = new Promise((resolve) => child.once("exit", resolve));
  assert.equal(channel.peer, { pid: child.pid, uid, gid });
  const accepted = (await listener.accept()) as UnixStream;
  const over = FdChannel.over(accepted, { peer: { uid, gid, pid: child.pid } });
  assert.equal(over.peer, channel.peer);
  over.close();
  channel.close();
  listener.close();
  assert.is(await exited, 0);
});

test("child: its main thread can take the channel once, and no other process inherits it", () =>
  withFile(async (fd) => {
    const { child, channel } = spawn(process.execPath, [fileURLToPath(import.meta.url)], {
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: "echo" },
    });
    const exited = new Promise((resolve) => child.once("exit", resolve));
    assert.is(channel.peer?.pid, child.pid);
    await channel.send("about");
    const about = JSON.parse((await frameOf(channel)).payload.toString());
    const none = "ERR_NO_PARENT";
    assert.equal(about, { again: none, worker: none, grandchild: "not", parent: process.pid });
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

test("a grandchild's own descriptor at the number is not taken for a channel, and the variables end there", async () => {
  const { child, channel } = spawn(process.execPath, [fileURLToPath(import.meta.url)], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: "unaware" },
  });
  let output = "";
  child.stdout!.on("data", (bytes) => (output += bytes));
  await new Promise((resolve) => child.once("close", resolve));
  channel.close();
  assert.is(output, "question: ERR_NO_PARENT, 0\n");
});

test("a program behind a shell takes the channel: it is the socket that counts, not the parent", async () => {
  const { child, channel } = spawn("sh", ["-c", '"$0" "$@"; true', process.execPath, fileURLToPath(import.meta.url)], {
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: "echo" },
  });
  const exited = new Promise((resolve) => child.once("exit", resolve));
  await channel.send("hello");
  const frame = await frameOf(channel);
  assert.is(frame.payload.toString(), "hello");
  channel.close();
  assert.is(await exited, 0);
});

test("a child inherits its stdio and the channel, not what this process inherited; the flags stay as they were", async () => {
  // 40 and 41 are inherited by the starter, as from a shell.
  const ran = await again(import.meta.url, "inherits", [], {
    stdio: ["ignore", "pipe", "inherit", ...new Array(37).fill("ignore"), "pipe", "pipe"],
  });
  assert.equal(JSON.parse(ran.stdout), { child: ["0", "1", "2", "3", "4"], kept: true });
});

test("no-parent, no-program: an error, nothing stays open, and no descriptor of another owner is closed", () =>
  withFile(async (fd) => {
    const { UNIX_ANCILLARY_CHANNEL_FD: _, ...env } = process.env;
    const { dev, ino } = fstatSync(fd);
    // The last one is the file that the variables name, but no socket.
    for (const [value, identity] of [[undefined], ["0"], ["999"], ["x"], ["0", `${dev}:${ino}`]]) {
      const { stdout, stderr } = await run(process.execPath, ["--expose-gc", fileURLToPath(import.meta.url)], {
        stdio: [fd, "pipe", "pipe"],
        env: {
          ...env,
          UNIX_ANCILLARY_TEST_ROLE: "lonely",
          ...(value === undefined ? {} : { UNIX_ANCILLARY_CHANNEL_FD: value }),
          ...(identity === undefined ? {} : { UNIX_ANCILLARY_CHANNEL_SOCKET: identity }),
        },
      });
      assert.is(stdout, "ERR_NO_PARENT\ntrue\n", String(value));
      assert.is(stderr, "", String(value));
    }
    const { child, channel } = spawn("/no/such/program");
    const error = (await new Promise((resolve) => child.once("error", resolve))) as NodeJS.ErrnoException;
    assert.is(error.code, "ENOENT");
    assert.is(await channel.recv(), null);
    channel.close();
    for (const refused of [
      () => spawn("true", [], null as never),
      () => spawn("true", { maxFds: -1 }),
      () => spawn("true", [], { stdio: "nonsense" as never }),
    ])
      assert.throws(refused);
    assert.is(await codeOf(() => spawn("sleep", ["1000"], { peer: { uid: 4_000_000 } })), "ERR_CHANNEL_PEER_REJECTED");
  }));

if (role === undefined) test.run();
