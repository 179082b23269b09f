/** Messages that end the search: each error says which, and what to do. */

import { mkdirSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { createServer, connect as netConnect } from "node:net";
import { inspect } from "node:util";
import {
  FdChannel,
  FdReader,
  notify,
  notifyBarrier,
  OwnedFd,
  recvmsg,
  SocketAncillary,
  type SystemError,
  sendmsg,
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
} from "unix-ancillary";
import { Codec } from "unix-ancillary/core";
import { VirtualKernel, VirtualProcess } from "unix-ancillary/testing";
import * as assert from "uvu/assert";
import { closeSync, openSync } from "./descriptors.ts";
import { again, errorOf, leakChecked, pair, role, socketPath, temporaryFolder, withEnvironment } from "./support.ts";

const test = leakChecked("messages");

/** A descriptor that is not open. */
const NOT_OPEN = 987;

/** The message of an error, which must have this code. */
async function messageOf(code: string, action: (() => unknown) | Promise<unknown>): Promise<string> {
  const error = (await errorOf(action)) as Partial<SystemError>;
  assert.is(error.code, code, error.message);
  return error.message!;
}

/** Closes what a body made. */
async function closing<T extends { close(): void }>(made: T, body: (made: T) => unknown): Promise<void> {
  try {
    await body(made);
  } finally {
    made.close();
  }
}

test("name: every call that names a socket has it in the message and in address", async () => {
  const path = socketPath();
  const named = async (code: string, syscall: string, action: (() => unknown) | Promise<unknown>, where = path) => {
    const error = (await errorOf(action)) as SystemError;
    assert.equal([error.code, error.syscall, error.address], [code, syscall, where], error.message);
    assert.match(error.message, `, ${syscall} ${inspect(where)}`);
  };
  await named("ENOENT", "connect", UnixStream.connect(path));
  await named("ENOENT", "connect", () => UnixStream.connectSync(path));
  await named("ENOENT", "connect", UnixSeqpacket.connect(path));
  await closing(UnixDatagram.unbound(), async (socket) => {
    await named("ENOENT", "connect", () => socket.connect(path));
    await named("ENOENT", "sendmsg", socket.sendFdsTo("x", [], path));
    await named("ENOENT", "sendmsg", () => socket.sendFdsToSync("x", [0], path));
    await named("ENOENT", "sendmsg", () => socket.trySendFdsTo("x", [], path));
    await named("ENOENT", "sendmsg", () => sendmsg(socket, "x", null, { address: path }));
    await named("EBADF", "sendmsg", socket.sendFdsTo("x", [NOT_OPEN], path));
  });
  await named("ENOENT", "bind", () => UnixListener.bind(`${path}/x`), `${path}/x`);
  await withEnvironment({ NOTIFY_SOCKET: path }, async () => {
    await named("ENOENT", "sendmsg", notify("READY=1"));
    await named("ENOENT", "sendmsg", notifyBarrier());
  });
});

test("name: the message says what is there instead of a socket that listens", async () => {
  const folder = temporaryFolder();
  const [file, missing] = [`${folder}/file`, `${folder}/missing/socket`];
  writeFileSync(file, "");
  mkdirSync(`${folder}/inner`);
  for (const [path, what] of [
    [file, "a regular file"],
    [`${folder}/inner`, "a directory"],
  ] as const) {
    assert.match(await messageOf("ECONNREFUSED", UnixStream.connect(path)), `${what}, not a socket`);
    assert.match(await messageOf("EADDRINUSE", () => UnixListener.bind(path)), `(${what})`);
    await closing(UnixDatagram.unbound(), async (socket) =>
      assert.match(await messageOf("ECONNREFUSED", socket.sendFdsTo("x", [], path)), `${what}, not a socket`),
    );
  }
  assert.match(await messageOf("ENOENT", () => UnixListener.bind(missing)), "its folder does not exist");
  assert.match(await messageOf("ENOTDIR", UnixStream.connect(`${file}/x`)), "is not a folder");
  assert.match(await messageOf("ENOENT", UnixStream.connect("@name")), 'begins with "\\0"');
  assert.match(await messageOf("ENOENT", UnixStream.connect(`unix:${missing}`)), "not a URL");
  await closing(UnixDatagram.bind(`${folder}/datagram`), async () =>
    assert.match(await messageOf("EPROTOTYPE", UnixStream.connect(`${folder}/datagram`)), "not of type SOCK_STREAM"),
  );
});

test(
  "timeout: the message says which milliseconds have passed, and nothing about networks",
  pair(async (a, b) => {
    const listener = UnixListener.bind(socketPath());
    await closing(listener, async () => {
      const full = new Uint8Array(1 << 22);
      for (const action of [
        () => b.recvFdsSync(1, { timeout: 7 }),
        () => b.recvFdsExactSync(1, { timeout: 7 }),
        () => listener.acceptSync({ timeout: 7 }),
        () => recvmsg(b, full, null, { wait: true, timeout: 7 }),
        () => a.sendFdsAllSync(full, [], { timeout: 7 }),
      ]) {
        const text = await messageOf("ETIMEDOUT", action);
        assert.match(text, "the timeout of 7 ms has passed");
        assert.not.match(text, "connection timed out");
      }
    });
  }),
);

test("timeout: of a connect, with the name and what was waited for", async () => {
  const path = socketPath();
  const open: { close(): void }[] = [UnixListener.bind(path, { backlog: 0 })];
  const error = (await errorOf(() => {
    for (let i = 0; i < 20; i++) open.push(UnixStream.connectSync(path, { timeout: 7 }));
  })) as SystemError;
  for (const one of open) one.close();
  assert.equal([error.code, error.address], ["ETIMEDOUT", path]);
  assert.match(error.message, /timeout of 7 ms .*backlog/);
});

test(
  "options: timeout and signal in each other's place, and a signal in place of the options, say what to write",
  pair(async (a, b) => {
    const signal = AbortSignal.timeout(1);
    for (const action of [
      b.recvFds(1, { timeout: 5 } as never),
      a.sendFds("x", [], { timeout: 5 } as never),
      UnixStream.connect("x", { timeout: 5 } as never),
    ])
      assert.match(await messageOf("ERR_INVALID_ARG_VALUE", action), "signal: AbortSignal.timeout(milliseconds)");
    assert.match(
      await messageOf("ERR_INVALID_ARG_VALUE", () => b.recvFdsSync(1, { signal } as never)),
      "timeout: milliseconds",
    );
    // It would wait for ever: a signal has no properties of its own, so none of the options is given.
    assert.match(await messageOf("ERR_INVALID_ARG_TYPE", b.recvFds(1, signal as never)), "write { signal }");
    assert.match(
      await messageOf("ERR_INVALID_ARG_TYPE", () => b.recvFdsSync(1, signal as never)),
      "timeout: milliseconds",
    );
  }),
);

test("names: a TCP socket is named by the constant of its family", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const client = netConnect((server.address() as { port: number }).port);
  await new Promise((resolve) => client.once("connect", resolve));
  try {
    assert.match(await messageOf("ERR_NOT_UNIX_SOCKET", () => UnixStream.from(client)), "AF_INET");
    const address = { address: "/x" };
    assert.match(await messageOf("ERR_INVALID_ARG_VALUE", () => sendmsg(client, "x", null, address)), "AF_INET");
  } finally {
    client.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
});

test("names: a socket of another type is named by its constant, and a file by its number", async () => {
  const [a, b] = UnixDatagram.pair();
  const copy = OwnedFd.from(a);
  assert.match(await messageOf("ERR_NOT_UNIX_SOCKET", () => UnixStream.from(copy)), "SOCK_DGRAM");
  for (const one of [a, b, copy]) one.close();
  await closing(OwnedFd.fromRaw(openSync("/dev/null", "r")), async (file) =>
    assert.match(
      await messageOf("ERR_NOT_UNIX_SOCKET", () => UnixStream.from(file)),
      `descriptor ${file.fd}, which is no`,
    ),
  );
});

test(
  "EBADF: the descriptor, and its place in the list",
  pair(async (a) => {
    const which = `fds[1], descriptor ${NOT_OPEN},`;
    const ancillary = new SocketAncillary(256);
    ancillary.addFds([0]);
    ancillary.addFds([NOT_OPEN]);
    for (const action of [
      a.sendFds("x", [0, NOT_OPEN]),
      a.sendFdsAll("x", [0, NOT_OPEN, NOT_OPEN]),
      () => a.sendFdsSync("x", [0, { fd: NOT_OPEN }]),
      () => sendmsg(a, "x", ancillary),
    ])
      assert.match(await messageOf("EBADF", action), which);
    for (const action of [
      () => OwnedFd.fromRaw(NOT_OPEN),
      () => OwnedFd.from(NOT_OPEN),
      () => recvmsg(NOT_OPEN, new Uint8Array(1)),
      () => sendmsg(NOT_OPEN, "x"),
    ])
      assert.match(await messageOf("EBADF", action), new RegExp(`descriptor ${NOT_OPEN},? is not open`));
    const owned = OwnedFd.fromRaw(openSync("/dev/null", "r"));
    closeSync(owned.fd);
    const { fd } = owned;
    for (const action of [() => owned.describe(), () => owned.close()])
      assert.match(await messageOf("EBADF", action), `descriptor ${fd} is not open: other code has closed it`);
  }),
);

test(
  "descriptors: what is none says what to do with it, and which of the list it is",
  pair(async (a) => {
    const handle = await open("/dev/null");
    const pending = Promise.resolve(handle);
    const cases: readonly (readonly [unknown, string, RegExp])[] = [
      [[0, 1, "/etc/passwd"], "ERR_INVALID_ARG_TYPE", /^"fds\[2\]" .*"\/etc\/passwd": a path is opened first/],
      [[pending], "ERR_INVALID_ARG_TYPE", /^"fds\[0\]" .*Promise: await it first/],
      [[0, {}], "ERR_INVALID_ARG_TYPE", /^"fds\[1\]" .*an instance of Object$/],
      [[0, -1], "ERR_OUT_OF_RANGE", /^"fds\[1\]"/],
      ["/etc/passwd", "ERR_INVALID_ARG_TYPE", /a path is opened first/],
      [0, "ERR_INVALID_ARG_TYPE", /write \[fd\]/],
      [a, "ERR_INVALID_ARG_TYPE", /write \[fd\]/],
    ];
    for (const [fds, code, text] of cases) assert.match(await messageOf(code, a.sendFds("x", fds as never)), text);
    const opened = await messageOf("ERR_INVALID_ARG_TYPE", () => OwnedFd.fromRaw("/etc/passwd" as never));
    assert.match(opened, "a path is opened first");
    assert.match(await messageOf("ERR_INVALID_ARG_TYPE", () => OwnedFd.fromRaw(handle as never)), "OwnedFd.from");
    assert.match(await messageOf("ERR_INVALID_ARG_TYPE", () => UnixStream.from(3 as never)), "OwnedFd.fromRaw");
    await handle.close();
  }),
);

test(
  "arguments: a value of a neighbouring call says what that call takes",
  pair(async (a) => {
    const handle = OwnedFd.from(0);
    const callback = (() => {}) as never;
    const kernel = new VirtualKernel("linux-x86_64-glibc");
    const [simulated] = UnixStream.pair({ platform: kernel.process().platform });
    const cases: readonly (readonly [string, RegExp, () => unknown])[] = [
      ["ERR_INVALID_ARG_TYPE", /no call takes a callback/, () => a.sendFdsSync("x", [], callback)],
      ["ERR_INVALID_ARG_TYPE", /addFds/, () => sendmsg(a, "x", [0] as never)],
      ["ERR_INVALID_ARG_TYPE", /new SocketAncillary/, () => recvmsg(a, new Uint8Array(1), 64 as never)],
      ["ERR_INVALID_ARG_VALUE", /"SOL_SOCKET"/, () => a.getOption("SO_SNDBUF" as never, undefined as never)],
      ["ERR_INVALID_ARG_TYPE", /bind takes a path/, () => UnixListener.from("/tmp/x" as never)],
      ["ERR_INVALID_ARG_TYPE", /OwnedFd\.fromRaw/, () => UnixDatagram.from(3 as never)],
      ["ERR_INVALID_ARG_TYPE", /OwnedFd\.from duplicates/, () => OwnedFd.fromRaw(handle as never)],
      ["ERR_INVALID_ARG_TYPE", /got undefined \(undefined\)$/, () => OwnedFd.fromRaw(undefined as never)],
      ["ERR_INVALID_ARG_TYPE", /0o600/, () => UnixListener.bind("x", { mode: "600" as never })],
      ["ERR_OUT_OF_RANGE", /0o777 \(octal/, () => UnixListener.bind("x", { mode: 666 })],
      ["ERR_INVALID_ARG_TYPE", /kernel\.process\(\)\.platform/, () => UnixStream.pair({ platform: kernel as never })],
      ["ERR_INVALID_ARG_TYPE", /a row of the ABI table, or its name/, () => new Codec(undefined as never)],
      ["ERR_INVALID_ARG_TYPE", /a row of the ABI table, or its name/, () => new VirtualKernel(undefined as never)],
      ["EDEADLK", /VirtualKernel\.whileWaiting/, () => simulated.recvFdsSync(0)],
    ];
    for (const [code, text, action] of cases) assert.match(await messageOf(code, action), text);
    assert.match(await messageOf("ERR_INVALID_ARG_TYPE", notify(["READY=1"] as never)), "an object of strings");
    handle.close();
  }),
);

test("ERR_DATA_TRUNCATED: names bufferSize and allowTruncated, or the buffers", async () => {
  const [a, b] = UnixDatagram.pair();
  await a.sendFds("a long datagram", [0]);
  await a.sendFds("a long datagram", [0]);
  const text = await messageOf("ERR_DATA_TRUNCATED", b.recvFds(1, { bufferSize: 3 }));
  assert.match(text, /3 bytes of bufferSize.*larger bufferSize, or allowTruncated: true/);
  const into = await messageOf("ERR_DATA_TRUNCATED", b.recvFdsInto(new Uint8Array(4), 1));
  assert.match(into, /4 bytes of the buffers.*larger buffers, or allowTruncated: true/);
  a.close();
  b.close();
});

test("constructors that are not for callers throw, and name what makes such objects", async () => {
  const classes = {
    OwnedFd: [OwnedFd, "OwnedFd.fromRaw"],
    UnixStream: [UnixStream, "UnixStream.connect"],
    UnixSeqpacket: [UnixSeqpacket, "UnixSeqpacket.connect"],
    UnixDatagram: [UnixDatagram, "UnixDatagram.bind"],
    UnixListener: [UnixListener, "UnixListener.bind"],
    FdChannel: [FdChannel, "FdChannel.over"],
    FdReader: [FdReader, "reader()"],
    VirtualProcess: [VirtualProcess, "process()"],
  } as const;
  const { platform } = new VirtualKernel("linux-x86_64-glibc").process();
  for (const [name, [made, instead]] of Object.entries(classes)) {
    const Made = made as unknown as new (...parameters: unknown[]) => object;
    for (const parameters of [[], [3], ["/tmp/x"], [platform, 3, false], [Symbol("unix-ancillary"), platform, 3]]) {
      const text = await messageOf("ERR_ILLEGAL_CONSTRUCTOR", () => new Made(...parameters));
      assert.ok(text.startsWith(`"${name}" has no public constructor`) && text.includes(instead), text);
    }
    class Derived extends Made {}
    assert.match(await messageOf("ERR_ILLEGAL_CONSTRUCTOR", () => new Derived(3)), `"${name}" has no`);
  }
});

test("console.log: the number, the state, and what it is; closed, closed by other code, and of a virtual kernel", async () => {
  const path = socketPath();
  const listener = UnixListener.bind(path);
  const waiting = listener.accept();
  waiting.catch(() => {});
  const [a, b] = FdChannel.pair();
  const stream = UnixStream.pair();
  const reader = stream[0].reader();
  const owned = OwnedFd.fromRaw(openSync("/dev/null", "r"));
  const ancillary = new SocketAncillary(64);
  ancillary.addFds([owned]);
  const shown = (value: unknown): string => inspect(value).replace(/\s+/g, " ");
  assert.is(
    shown(owned),
    `OwnedFd { fd: ${owned.fd}, state: 'open', kind: 'character-device', access: 'read', nonblocking: false, path: '/dev/null' }`,
  );
  assert.is(
    shown(listener),
    `UnixListener { fd: ${listener.fd}, state: 'listening', waiting: 1, type: 'stream', address: '${path}' }`,
  );
  assert.match(shown(stream[1]), `UnixStream { fd: ${stream[1].fd}, state: 'open', waiting: 0, type: 'stream'`);
  assert.match(shown(a), /^FdChannel \{ state: 'open', socket: UnixStream \{ fd: \d+, state: 'open'/);
  assert.is(shown(reader), "FdReader { state: 'open', reading: false, queuedBytes: 0, queuedFds: 0 }");
  assert.match(shown(ancillary), /^SocketAncillary \{ state: 'to send', .* fds: \[ OwnedFd \{ fd: \d+/);
  // Nested, as in the message of a receive.
  assert.is(inspect({ one: { two: [owned] } }, { depth: 1 }), "{ one: { two: [Array] } }");
  assert.is(inspect({ one: { two: owned } }, { depth: 1 }), "{ one: { two: [OwnedFd] } }");

  const closed = OwnedFd.fromRaw(openSync("/dev/null", "r"));
  closeSync(closed.fd);
  assert.is(shown(closed), `OwnedFd { fd: ${closed.fd}, state: 'not open: other code has closed it' }`);
  await errorOf(() => closed.close());
  assert.is(shown(closed), "OwnedFd { state: 'closed or released' }");
  for (const one of [listener, a, b, ...stream, owned]) one.close();
  assert.is(shown(listener), "UnixListener { state: 'closed' }");
  assert.match(shown(a), "FdChannel { state: 'closed'");

  // The prototypes, and what only looks like one of these objects.
  for (const { prototype } of [OwnedFd, UnixStream, UnixListener, FdReader, FdChannel, SocketAncillary, VirtualKernel])
    assert.type(inspect(prototype), "string");
  assert.type(inspect(new Proxy(owned, {})), "string");
  assert.type(inspect(Object.create(stream[0])), "string");

  // A print makes no system call there: it would change which of the program's calls fails.
  const kernel = new VirtualKernel("darwin-arm64");
  let calls = 0;
  const process = kernel.process();
  const file = process.open("a file");
  kernel.fault = () => {
    calls++;
    return null;
  };
  assert.is(shown(file), `OwnedFd { fd: ${file.fd}, state: 'open', platform: 'darwin-arm64' }`);
  assert.match(
    shown(kernel),
    /^VirtualKernel \{ abi: 'darwin-arm64', processes: \[ VirtualProcess \{ pid: .* state: 'alive'/,
  );
  assert.is(shown(process.platform), "Platform { abi: 'darwin-arm64' }");
  assert.is(shown(new Codec("darwin-arm64")), "Codec { abi: 'darwin-arm64' }");
  assert.is(calls, 0);
  file.close();
});

test("structured clone: of every owner it fails, and says what to post", async () => {
  const [a, b] = FdChannel.pair();
  const [c, d] = UnixStream.pair();
  const [e, f] = UnixDatagram.pair();
  const owned = OwnedFd.from(0);
  await c.sendFds("x", [0]);
  const message = await d.recvFds(1);
  const reader = d.reader();
  const listener = UnixListener.bind(socketPath());
  for (const owner of [a, c, e, owned, message, reader, listener, new SocketAncillary(8)]) {
    for (const value of [owner, { nested: [owner] }]) {
      const error = await errorOf(() => structuredClone(value));
      assert.is(error.name, "DataCloneError");
      if (!("Bun" in globalThis) && !("Deno" in globalThis)) assert.match(error.message, "docs/threads.md");
    }
  }
  // Programs print and compare these objects.
  assert.is(JSON.stringify({ owned }), '{"owned":{}}');
  for (const one of [a, b, c, d, e, f, owned, listener, ...message.fds]) one.close();
});

test("leak: the warning names the descriptor and, with UNIX_ANCILLARY_TRACE=1, the call that made its owner", async () => {
  const leak = (trace: string) => again(import.meta.url, "leak", [], { env: { UNIX_ANCILLARY_TRACE: trace } });
  const untraced = await leak("0");
  assert.is(untraced.code, 0, untraced.stderr);
  assert.match(untraced.stderr, "UNIX_ANCILLARY_FD_LEAK");
  assert.match(untraced.stderr, /\d+ \(\/dev\/null\)/);
  assert.match(untraced.stderr, "UNIX_ANCILLARY_TRACE=1 shows where");
  assert.not.match(untraced.stderr, "leakOf");

  const { stderr } = await leak("1");
  const [, ...made] = stderr.split(/^The owner of \d+ \(.*\) was made\n/m);
  assert.is(made.length, 5, stderr);
  // The first frame is the program's, even of those that were received in a turn of the event loop.
  for (const stack of made) assert.match(stack.split("\n")[0]!, /^ +at .*messages\.test/);
  for (const maker of [/^ +at leakOfFile \(/m, /^ +at leakOfPair \(/m])
    assert.ok(made.some((stack) => maker.test(stack)));
});

if (role === undefined) test.run();
else {
  const leakOfFile = () => void OwnedFd.fromRaw(openSync("/dev/null", "r"));
  const leakOfPair = () => void UnixStream.pair();
  const leakOfReceive = async () => {
    const [a, b] = UnixStream.pair();
    // It waits: its owners are made in a turn of the event loop, without a caller.
    const waiting = b.recvFds(2);
    await new Promise((resolve) => setTimeout(resolve, 5));
    await a.sendFds("x", [0, 1]);
    await waiting;
    a.close();
    b.close();
  };
  leakOfFile();
  leakOfPair();
  await leakOfReceive();
  let told = 0;
  process.on("warning", ({ message }) => {
    told += Number(/^(\d+) descriptor/.exec(message)![1]);
  });
  for (let turn = 0; turn < 250 && told < 5; turn++) {
    globalThis.gc!();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  // Deno does not always tell of the warnings, and would not end.
  process.exit(0);
}
