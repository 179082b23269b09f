/** Two processes: this file run again, Python in both directions, and a receiver with a full descriptor table. */

import { spawn } from "node:child_process";
import { type AncillaryError, OwnedFd, UnixStream } from "unix-ancillary";
import * as assert from "uvu/assert";
import { fstatSync, openSync, readText } from "../descriptors.ts";
import { again, errorOf, fileWith, leakChecked, openFds, role, run, socketPath, waitOnce } from "../support.ts";

const test = leakChecked("processes");

/** Runs the second process; prints a line if its number of descriptors has changed. */
async function child(body: (stream: UnixStream) => Promise<void>): Promise<void> {
  const stream = UnixStream.from(OwnedFd.fromRaw(3));
  await waitOnce();
  const before = openFds().size;
  await body(stream);
  if (openFds().size !== before) console.log(`descriptors: ${before} before, ${openFds().size} after`);
  stream.close();
}

test("a second process reads a file that it did not open, and sends another one back", async () => {
  const [ours, theirs] = UnixStream.pair();
  const done = again(import.meta.url, "echo", [], { stdio: ["ignore", "pipe", "pipe", theirs.fd] });
  theirs.close();
  const file = openSync(fileWith("the content"), "r");
  const owned = OwnedFd.fromRaw(file);
  await ours.sendFds("read this", [owned]);
  owned.close();
  const message = await ours.recvFds(1);
  assert.is(message.data.toString(), "the content");
  assert.is(readText(message.fds[0]!.fd), "from the child");
  message[Symbol.dispose]();
  assert.is((await ours.recvFds(1)).eof, true);
  const { code, stdout, stderr } = await done;
  assert.is(code, 0, stderr);
  assert.is(stdout, "");
  ours.close();
});

test("10,000 descriptors to a second process: all arrive once, in order, and none stays open", async () => {
  const [ours, theirs] = UnixStream.pair();
  const done = again(import.meta.url, "count", [], { stdio: ["ignore", "pipe", "pipe", theirs.fd] });
  theirs.close();
  const files = [openSync(fileWith("a"), "r"), openSync(fileWith("b"), "r")].map((fd) => OwnedFd.fromRaw(fd));
  const pending: Promise<unknown>[] = [];
  for (let i = 0; i < 1000; i++) {
    const fds = Array.from({ length: 10 }, (_, j) => files[(i * 10 + j) % 3 === 0 ? 0 : 1]!);
    pending.push(ours.sendFdsAll(Buffer.from(String(i).padStart(4, "0")), fds));
  }
  await Promise.all(pending);
  ours.shutdown("write");
  const { code, stdout, stderr } = await done;
  assert.is(code, 0, stderr);
  const { a, b, count, bytes } = JSON.parse(stdout);
  assert.equal([a, b, count, bytes], [3334, 6666, 10_000, 4000]);
  for (const one of files) one.close();
  ours.close();
});

for (const [name, receive] of [
  ["asynchronously", "recv"],
  ["synchronously", "recv-sync"],
] as const) {
  test(`near RLIMIT_NOFILE (${name}), received descriptors are closed, the error has the reason, the bytes are kept`, async () => {
    const [ours, theirs] = UnixStream.pair();
    const source = `ulimit -n 64; exec "$0" "$@"`;
    const done = run("bash", ["-c", source, process.execPath, "--expose-gc", new URL(import.meta.url).pathname], {
      stdio: ["ignore", "pipe", "pipe", theirs.fd],
      env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: receive },
    });
    theirs.close();
    await ours.sendFds("too many", new Array(100).fill(0));
    await ours.sendFds("few", [0, 0]);
    const { code, stdout, stderr } = await done;
    assert.is(code, 0, stderr);
    assert.is(stdout, "ERR_ANCILLARY_TRUNCATED descriptor-limit too many, then 2 of few\n");
    ours.close();
  });
}

for (const [name, full, expected] of [
  ["the wait fails, a later one succeeds, and the process ends", "full-table", "EMFILE\nreceived\n"],
  ["a loop that catches the error lets the event loop turn", "full-table-loop", "received\n"],
] as const) {
  test(`readiness by a thread with a full descriptor table: ${name}`, async () => {
    const source = `ulimit -n 64; exec timeout 30 "$0" "$@"`;
    const { code, stdout, stderr } = await run(
      "bash",
      ["-c", source, process.execPath, new URL(import.meta.url).pathname],
      {
        env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: full, UNIX_ANCILLARY_READINESS: "thread" },
      },
    );
    assert.is(code, 0, stderr);
    assert.is(stdout, expected);
  });
}

test.python("python sends with send_fds", async () => {
  const [ours, theirs] = UnixStream.pair();
  const script = `
import socket, os
s = socket.socket(fileno=3)
r, w = os.pipe()
socket.send_fds(s, [b"from ", b"python"], [r, w])
os.write(w, b"through the pipe")
`;
  const done = run("python3", ["-c", script], { stdio: ["ignore", "pipe", "pipe", theirs.fd] });
  theirs.close();
  const message = await ours.recvFdsExact(2);
  assert.is(message.data.toString(), "from python");
  const [reader, writer] = message.fds as [OwnedFd, OwnedFd];
  assert.equal(reader.describe(), { kind: "pipe", access: "read", nonblocking: false });
  assert.equal(writer.describe(), { kind: "pipe", access: "write", nonblocking: false });
  const { code, stderr } = await done;
  assert.is(code, 0, stderr);
  writer.close();
  assert.is(readText(reader.fd), "through the pipe");
  message[Symbol.dispose]();
  ours.close();
});

test.python("python receives with recv_fds", async () => {
  const path = socketPath();
  const script = `
import socket, os
l = socket.socket(socket.AF_UNIX); l.bind(${JSON.stringify(path)}); l.listen(); print("ready", flush=True)
s, _ = l.accept()
data, fds, flags, _ = socket.recv_fds(s, 100, 10)
print(data.decode(), len(fds), flags & 8, *[os.pread(fd, 100, 0).decode() for fd in fds])
`;
  const python = spawn("python3", ["-c", script], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  const ready = new Promise<void>((resolve) =>
    python.stdout.on("data", (bytes) => {
      output += bytes;
      resolve();
    }),
  );
  const ended = new Promise((resolve) => python.once("close", resolve));
  await ready;
  const stream = await UnixStream.connect(path);
  const files = ["one", "two", "three"].map((text) => OwnedFd.fromRaw(openSync(fileWith(text), "r")));
  await stream.sendFdsAll("to python", files);
  await ended;
  assert.is(output, "ready\nto python 3 0 one two three\n");
  for (const one of files) one.close();
  stream.close();
});

test.python(
  "python reads a long message in small pieces: the descriptor arrives with the first, and only once",
  async () => {
    const [ours, theirs] = UnixStream.pair();
    const script = `
import socket
s = socket.socket(fileno=3)
offsets, total = [], 0
while True:
  data, fds, _, _ = socket.recv_fds(s, 4000, 10)
  if not data: break
  if fds: offsets.append((total, len(fds)))
  total += len(data)
print(offsets, total)
`;
    const done = run("python3", ["-c", script], { stdio: ["ignore", "pipe", "pipe", theirs.fd] });
    theirs.close();
    await ours.sendFdsAll(Buffer.alloc(1_000_000), [0, 1]);
    ours.close();
    assert.is((await done).stdout, "[(0, 2)] 1000000\n");
  },
);

test("no received descriptor is inherited by a child", async () => {
  const inherited = async () => (await run("sh", ["-c", "cd /proc/self/fd; ls"])).stdout;
  const before = await inherited();
  const [a, b] = UnixStream.pair();
  a.sendFdsSync("x", [0, 1, 2]);
  const message = b.recvFdsSync(3);
  assert.is(await inherited(), before);
  message[Symbol.dispose]();
  a.close();
  b.close();
});

/** Waits for the first time with no free descriptor, then with some. */
async function filled(): Promise<OwnedFd[]> {
  const fill: OwnedFd[] = [];
  const { code } = (await errorOf(() => {
    for (;;) fill.push(OwnedFd.from(0));
  })) as AncillaryError;
  assert.is(code, "EMFILE");
  return fill;
}

async function fullTableLoop(): Promise<void> {
  const [a, b] = UnixStream.pair();
  const fill = await filled();
  setTimeout(() => {
    for (const one of fill) one.close();
    a.sendFdsSync("x");
  }, 20);
  for (let error: unknown = "none yet"; error !== null; ) {
    error = await b.recvFds(0).then(
      () => null,
      (failure) => failure,
    );
  }
  console.log("received");
}

async function fullTable(): Promise<void> {
  const [a, b] = UnixStream.pair();
  const fill = await filled();
  const error = (await errorOf(b.recvFds(0))) as AncillaryError;
  for (const one of fill) one.close();
  console.log(error.code);
  const waiting = b.recvFds(0);
  await a.sendFds("x");
  await waiting;
  console.log("received");
}

switch (role) {
  case "echo":
    await child(async (stream) => {
      const message = await stream.recvFds(1);
      const content = readText(message.fds[0]!.fd);
      message[Symbol.dispose]();
      const reply = OwnedFd.fromRaw(openSync(fileWith("from the child"), "r"));
      await stream.sendFds(content, [reply]);
      reply.close();
    });
    break;
  case "count":
    await child(async (stream) => {
      const inodes = new Map<number, number>();
      let count = 0;
      let bytes = 0;
      for await (const message of stream.messages(10)) {
        bytes += message.data.length;
        count += message.fds.length;
        for (const { fd } of message.fds) {
          const { ino } = fstatSync(fd);
          inodes.set(ino, (inodes.get(ino) ?? 0) + 1);
        }
        message[Symbol.dispose]();
      }
      const [a, b] = [...inodes.values()];
      process.stdout.write(JSON.stringify({ a, b, count, bytes }));
    });
    break;
  case "recv":
  case "recv-sync":
    await child(async (stream) => {
      const receive = () => (role === "recv" ? stream.recvFds(253) : stream.recvFdsSync(253));
      const error = (await errorOf(receive)) as AncillaryError;
      const next = await receive();
      console.log(`${error.code} ${error.reason} ${error.data}, then ${next.fds.length} of ${next.data}`);
      next[Symbol.dispose]();
    });
    break;
  case "full-table":
    await fullTable();
    break;
  case "full-table-loop":
    await fullTableLoop();
    break;
  default:
    test.run();
}
