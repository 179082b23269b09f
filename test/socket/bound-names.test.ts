/** Names in the file system: when they are taken, what is removed, permissions, long paths, taking over. */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, connect as netConnect } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type SystemError, sendmsg, UnixDatagram, UnixListener, UnixSeqpacket, UnixStream } from "unix-ancillary";
import { VirtualKernel } from "unix-ancillary/testing";
import * as assert from "uvu/assert";
import { again, codeOf, errorOf, leakChecked, NEEDS, openFds, role, socketPath, temporaryFolder } from "../support.ts";

const test = leakChecked("bound-names");

/** Rounds of the race: a sample by default. */
const ROUNDS = Number(process.env.UNIX_ANCILLARY_BIND_ROUNDS ?? 25);

/** What the four processes of the race do: all types of sockets, with a mode and without. */
const BINDERS = [
  (path: string) => UnixListener.bind(path),
  (path: string) => UnixListener.bind(path, { mode: 0o600 }),
  (path: string) => UnixListener.bind(path, { type: "seqpacket" }),
  (path: string) => UnixDatagram.bind(path, { mode: 0o666 }),
] as const;
const CONNECT = [
  (path: string) => UnixStream.connectSync(path),
  (path: string) => UnixStream.connectSync(path),
  (path: string) => UnixSeqpacket.connectSync(path),
  (path: string) => {
    const socket = UnixDatagram.unbound();
    socket.connect(path);
    return socket;
  },
] as const;

function newFolder(): string {
  const folder = socketPath();
  mkdirSync(folder);
  return folder;
}

/** Leaves a name whose socket is closed. */
function leaveDead(path: string, bind: (path: string) => { close(): void } = BINDERS[0]): void {
  const socket = bind(`${path}.x`);
  renameSync(`${path}.x`, path);
  socket.close();
}

interface Binder {
  readonly child: ChildProcess;
  ask(line: string): Promise<string>;
}

function startBinder(number: number, path: string): Binder {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), String(number), path], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: "binder" },
  });
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  return {
    child,
    ask: async (line) => {
      child.stdin!.write(`${line}\n`);
      return (await lines.next()).value ?? "no answer";
    },
  };
}

for (const parent of [undefined, ...(existsSync("/dev/shm") ? ["/dev/shm/"] : [])]) {
  test(`bind-race: of four processes that bind over a dead name, exactly one succeeds and can be reached, ${parent ?? "temporary folder"}`, async () => {
    const folder = parent === undefined ? newFolder() : mkdtempSync(`${parent}unix-ancillary-`);
    const path = `${folder}/s`;
    const binders = BINDERS.map((_, number) => startBinder(number, path));
    try {
      for (const binder of binders) assert.is(await binder.ask("hello"), "hello");
      for (let round = 0; round < ROUNDS; round++) {
        leaveDead(path, BINDERS[round % 4]);
        const at = Date.now() + 4;
        const answers = await Promise.all(binders.map((binder) => binder.ask(String(at))));
        assert.equal([...answers].sort(), ["EADDRINUSE", "EADDRINUSE", "EADDRINUSE", "bound"], `round ${round}`);
        const bound = answers.indexOf("bound");
        CONNECT[bound]!(path).close();
        if (bound % 2 === 1) assert.is(lstatSync(path).mode & 0o777, bound === 1 ? 0o600 : 0o666);
        await Promise.all(binders.map((binder) => binder.ask("close")));
        assert.equal(readdirSync(folder), [], "nothing is left");
      }
    } finally {
      for (const { child } of binders) child.stdin!.end();
      await Promise.all(binders.map(({ child }) => new Promise((resolve) => child.once("close", resolve))));
      rmSync(folder, { recursive: true });
    }
  });
}

test("bind-killed: a process that is killed at any moment of a bind leaves only names that can be replaced", async () => {
  const folder = newFolder();
  const path = `${folder}/s`;
  for (let round = 0; round < 8; round++) {
    leaveDead(path);
    const child = spawn(process.execPath, [fileURLToPath(import.meta.url), path], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: "bind-and-leave" },
    });
    await new Promise((resolve) => child.stdout!.once("data", resolve));
    await sleep(3 + round);
    child.kill("SIGKILL");
    await new Promise((resolve) => child.once("close", resolve));
    assert.equal(
      readdirSync(folder).filter((name) => name !== "s" && name !== "s.x"),
      [],
    );
    for (const name of ["s", "s.x"]) UnixListener.bind(`${folder}/${name}`).close();
  }
});

for (const kind of ["SOCK_STREAM", "SOCK_SEQPACKET", "SOCK_DGRAM"]) {
  for (const listens of kind === "SOCK_DGRAM" ? [false] : [false, true]) {
    test.python(
      `bind-live: a ${kind} that ${listens ? "listens" : "is only bound"} keeps its name, and does not notice`,
      async () => {
        const path = socketPath();
        const script = `
import socket, select, sys
s = socket.socket(socket.AF_UNIX, socket.${kind}); s.bind(sys.argv[1])
if ${listens ? 1 : 0}: s.listen(5)
print("ready", flush=True)
sys.stdin.readline()
s.setblocking(False)
seen = "SO_ERROR %d" % s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
try:
  s.accept() if ${listens ? 1 : 0} else s.recv(1)
  seen += ", something came"
except OSError: pass
print(seen, flush=True)
if "${kind}" != "SOCK_DGRAM": s.listen(5)
print("listening", flush=True)
sys.stdin.readline()
`;
        const python = spawn("python3", ["-c", script, path], { stdio: ["pipe", "pipe", "inherit"] });
        const lines = createInterface({ input: python.stdout })[Symbol.asyncIterator]();
        assert.is((await lines.next()).value, "ready");
        const { ino } = lstatSync(path);
        for (const bind of BINDERS) {
          const error = (await errorOf(() => bind(path))) as SystemError;
          assert.equal([error.code, error.syscall, error.address], ["EADDRINUSE", "bind", path]);
          assert.match(error.message, `bind '${path}' (a socket that is in use)`);
        }
        assert.is(lstatSync(path).ino, ino);
        python.stdin.write("\n");
        assert.is((await lines.next()).value, "SO_ERROR 0");
        assert.is((await lines.next()).value, "listening");
        CONNECT[{ SOCK_STREAM: 0, SOCK_SEQPACKET: 2, SOCK_DGRAM: 3 }[kind]!]!(path).close();
        python.stdin.end();
        await new Promise((resolve) => python.once("close", resolve));
        for (const bind of BINDERS) {
          bind(path).close();
          assert.not.ok(existsSync(path));
        }
      },
    );
  }
}

test("bind-what-is-there: anything but a dead socket stays, and the message says what it is", async () => {
  const folder = newFolder();
  writeFileSync(`${folder}/file`, "content");
  mkdirSync(`${folder}/directory`);
  symlinkSync("nowhere", `${folder}/dangling`);
  leaveDead(`${folder}/dead`);
  symlinkSync("dead", `${folder}/link`);
  spawnSync("mkfifo", [`${folder}/fifo`]);
  const before = readdirSync(folder);
  for (const [name, what] of [
    ["file", "a regular file"],
    ["directory", "a directory"],
    ["dangling", "a symbolic link"],
    ["link", "a symbolic link"],
    ["fifo", "a FIFO"],
  ] as const) {
    for (const bind of BINDERS) {
      const error = (await errorOf(() => bind(`${folder}/${name}`))) as SystemError;
      assert.is(error.code, "EADDRINUSE");
      assert.match(error.message, what);
    }
  }
  assert.equal(readdirSync(folder), before);
  const abstract = `\0${process.pid}-in-use`;
  const listener = UnixListener.bind(abstract);
  const error = (await errorOf(() => UnixListener.bind(abstract))) as SystemError;
  assert.equal([error.code, error.address], ["EADDRINUSE", abstract]);
  assert.match(error.message, "an abstract name that is in use");
  listener.close();
});

test("bind-mode: exactly the mode that was given, whatever the umask, in every class", () => {
  for (const umask of [0, 0o22, 0o77, 0o777]) {
    const before = process.umask(umask);
    try {
      for (const mode of [0, 0o600, 0o666, 0o755, 0o777]) {
        for (const bind of [
          (path: string) => UnixListener.bind(path, { mode }),
          (path: string) => UnixListener.bind(path, { mode, type: "seqpacket" }),
          (path: string) => UnixDatagram.bind(path, { mode }),
        ]) {
          const path = socketPath();
          const socket = bind(path);
          assert.is(statSync(path).mode & 0o777, mode, `${mode.toString(8)} under umask ${umask.toString(8)}`);
          socket.close();
          leaveDead(path);
          const again = bind(path);
          assert.is(statSync(path).mode & 0o777, mode, "in place of a dead socket");
          again.close();
        }
      }
      const path = socketPath();
      const plain = UnixDatagram.bind(path);
      assert.is(statSync(path).mode & 0o777, 0o777 & ~umask, "without a mode the umask decides");
      plain.close();
      assert.is(process.umask(), umask, "the umask of this process stays");
    } finally {
      process.umask(before);
    }
  }
});

test("bind-mode-from-the-start: the name never has other permissions", async () => {
  const folder = newFolder();
  const path = `${folder}/s`;
  const watcher = spawn(process.execPath, [fileURLToPath(import.meta.url), path], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: "watch-mode" },
  });
  const lines = createInterface({ input: watcher.stdout })[Symbol.asyncIterator]();
  assert.is((await lines.next()).value, "watching");
  const before = process.umask(0);
  try {
    for (let i = 0; i < 400; i++) BINDERS[i % 2 === 0 ? 1 : 3](path).close();
  } finally {
    process.umask(before);
  }
  writeFileSync(`${folder}/end`, "");
  const [times, ...modes] = String((await lines.next()).value).split(" ");
  assert.ok(Number(times) > 20, `seen ${times} times`);
  assert.equal(
    modes.filter((mode) => mode !== "600" && mode !== "666"),
    [],
  );
  await new Promise((resolve) => watcher.once("close", resolve));
});

test("bind-mode: misuse", async () => {
  for (const mode of [-1, 0o1000, 0.5]) {
    assert.instance(await errorOf(() => UnixDatagram.bind(socketPath(), { mode })), RangeError);
  }
  for (const path of ["\0abstract", ""])
    assert.instance(await errorOf(() => UnixDatagram.bind(path, { mode: 0o600 })), RangeError);
  assert.instance(await errorOf(() => UnixDatagram.bind(socketPath(), { mdoe: 1 } as never)), TypeError);
  assert.is(await codeOf(() => UnixDatagram.bind("/nonexistent/folder/socket", { mode: 0o600 })), "ENOENT");
});

test("bind-then-chdir: the name is that of the bind, wherever the process is when it closes", async () => {
  const { code, stderr } = await again(import.meta.url, "chdir", [newFolder()]);
  assert.is(code, 0, stderr);
});

/** A path that is longer than sun_path, and the folder of its end. */
function longPath(name = "s"): string {
  const folder = `${newFolder()}${`/${"d".repeat(60)}`.repeat(3)}`;
  mkdirSync(folder, { recursive: true });
  return `${folder}/${name}`;
}

test.needing(process.platform === "linux", "Linux", "long-paths: bind, connect, send, replace, remove", async () => {
  const path = longPath();
  for (const options of [{}, { mode: 0o640 }]) {
    leaveDead(path);
    const listener = UnixListener.bind(path, options);
    assert.is(listener.address, path);
    if (options.mode !== undefined) assert.is(statSync(path).mode & 0o777, options.mode);
    const error = (await errorOf(() => UnixDatagram.bind(path))) as SystemError;
    assert.equal([error.code, error.address], ["EADDRINUSE", path]);
    const clients = [UnixStream.connectSync(path), await UnixStream.connect(path)];
    for (const client of clients) {
      const server = listener.acceptSync();
      client.sendFdsSync("through", [0]);
      const message = server.recvFdsSync(1);
      assert.is(message.data.toString(), "through");
      message[Symbol.dispose]();
      server.close();
      client.close();
    }
    listener.close();
    assert.not.ok(existsSync(path));
    assert.is(await codeOf(() => listener.address), "ERR_SOCKET_CLOSED");
  }
  const receiver = UnixDatagram.bind(path, { mode: 0o600 });
  assert.is(receiver.address, path);
  const sender = UnixDatagram.unbound();
  await sender.sendFdsTo("1", [0], path);
  sender.sendFdsToSync("2", [0], path);
  sendmsg(sender, "3", null, { address: path });
  sender.connect(path);
  sender.sendFdsSync("4");
  for (const text of ["1", "2", "3", "4"]) {
    const message = receiver.recvFdsFromSync(1);
    assert.is(message.data.toString(), text);
    message[Symbol.dispose]();
  }
  receiver.close();
  sender.close();
  assert.not.ok(existsSync(path));
  const seqpacket = UnixListener.bind(path, { type: "seqpacket" });
  UnixSeqpacket.connectSync(path).close();
  seqpacket.close();
  // A folder that does not exist; a name that is too long behind the folder's descriptor.
  assert.is(await codeOf(UnixStream.connect(path.replace("/s", "/none/s"))), "ENOENT");
  assert.instance(await errorOf(() => UnixListener.bind(longPath("n".repeat(90)))), RangeError);
  const longest = longPath("n".repeat(82));
  UnixListener.bind(longest).close();
  assert.not.ok(existsSync(longest));
});

test("long-paths: a RangeError where the system has none, and nothing is cut", async () => {
  const kernel = new VirtualKernel("freebsd-amd64");
  const { platform } = kernel.process();
  for (const bind of [UnixListener.bind, UnixDatagram.bind])
    assert.instance(await errorOf(() => bind(`/${"x".repeat(103)}`, { platform })), RangeError);
  UnixListener.bind(`/${"x".repeat(102)}`, { platform }).close();
  kernel.check();
});

test.python(
  "bind-locked-folder: a dead name stays in a folder that another program has locked, and the error says so",
  async () => {
    const folder = newFolder();
    leaveDead(`${folder}/s`);
    const living = UnixListener.bind(`${folder}/living`);
    const script = `
import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX); print("locked", flush=True); sys.stdin.readline()`;
    const python = spawn("python3", ["-c", script, folder], { stdio: ["pipe", "pipe", "inherit"] });
    await new Promise((resolve) => python.stdout.once("data", resolve));
    const error = (await errorOf(() => UnixListener.bind(`${folder}/s`))) as SystemError;
    assert.is(error.code, "EADDRINUSE");
    assert.match(error.message, /no process has open any more.*could not be replaced.*flock.*remove it/);
    assert.is((error.cause as SystemError).syscall, "flock");
    // No other name needs the lock.
    const { system } = living.platform;
    const { flock } = system;
    let locked = 0;
    system.flock = (fd) => {
      locked++;
      return flock(fd);
    };
    assert.is(await codeOf(() => UnixListener.bind(`${folder}/living`)), "EADDRINUSE");
    UnixListener.bind(`${folder}/new`).close();
    system.flock = flock;
    assert.is(locked, 0);
    living.close();
    assert.equal(readdirSync(folder), ["s"]);
    python.stdin.end();
    await new Promise((resolve) => python.once("close", resolve));
    UnixListener.bind(`${folder}/s`).close();
  },
);

test("bind-fails: whichever call fails, no name is left and no descriptor", async () => {
  for (const call of ["socket", "bind", "listen", "lstat", "connect", "open", "flock", "unlink"]) {
    const kernel = new VirtualKernel("linux-x86_64-glibc");
    const [dying, process] = [kernel.process(), kernel.process()];
    const status = new BigUint64Array(4);
    const isThere = () => process.platform.system.lstat("/s", status) === 0;
    UnixListener.bind("/s", { platform: dying.platform });
    dying.kill();
    let fail = true;
    kernel.fault = ({ name }) => (fail && name === call ? { errno: "EIO" } : null);
    const error = await errorOf(() => UnixListener.bind("/s", { platform: process.platform, mode: 0o600 }));
    const code = ["open", "flock", "unlink", "connect"].includes(call) ? "EADDRINUSE" : "EIO";
    assert.is((error as SystemError).code, code, call);
    kernel.check();
    fail = false;
    // After a listen that failed, the name is removed; a dead name that could not be replaced is still there.
    assert.is(isThere(), call !== "listen", call);
    UnixListener.bind("/s", { platform: process.platform }).close();
    assert.not.ok(isThere());
    kernel.check();
  }
});

test("from(net.Server): the path is there at every moment", async () => {
  const path = socketPath();
  const watcher = spawn(process.execPath, [fileURLToPath(import.meta.url), path], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: "watch-gaps" },
  });
  const ended = new Promise((resolve) => watcher.once("close", resolve));
  const lines = createInterface({ input: watcher.stdout })[Symbol.asyncIterator]();
  try {
    assert.is((await lines.next()).value, "watching");
    for (let i = 0; i < 60; i++) {
      const server = createServer().listen(path);
      await new Promise((resolve) => server.once("listening", resolve));
      watcher.stdin.write("taking over\n");
      assert.is((await lines.next()).value, "there");
      const { ino } = lstatSync(path);
      const listener = UnixListener.from(server);
      assert.not.ok(server.listening);
      assert.is(lstatSync(path).ino, ino);
      assert.is(listener.address, path);
      watcher.stdin.write("taken over\n");
      assert.match((await lines.next()).value!, /^[1-9]\d* looks, 0 gaps$/);
      const client = netConnect(path);
      (await listener.accept()).close();
      client.destroy();
      listener.close();
      assert.not.ok(existsSync(path), "close removes it");
    }
  } finally {
    watcher.kill();
    await ended;
  }
});

test("from(net.Server): a name that another socket has taken since is not removed", async () => {
  const path = socketPath();
  const server = createServer().listen(path);
  await new Promise((resolve) => server.once("listening", resolve));
  rmSync(path);
  const other = UnixListener.bind(path);
  UnixListener.from(server).close();
  UnixStream.connectSync(path).close();
  other.close();
  assert.not.ok(existsSync(path));
});

for (const host of ["Node", "a host without libuv"]) {
  test(`from(net.Server) at a relative path, on ${host}: the file of another folder stays`, async () => {
    const folders = [temporaryFolder(), temporaryFolder()];
    const env = { NODE_OPTIONS: host === "Node" ? "" : "--import=data:text/javascript,globalThis.Deno={}" };
    const { code, stderr } = await again(import.meta.url, "relative", folders, { env });
    assert.is(code, 0, stderr);
  });
}

test("from(net.Server) without libuv: a path that another socket takes meanwhile is another's", async () => {
  const folder = temporaryFolder();
  const { code, stderr } = await again(import.meta.url, "taken-meanwhile", [folder], {
    env: { NODE_OPTIONS: "--import=data:text/javascript,globalThis.Deno={}" },
  });
  assert.is(code, 0, stderr);
});

test.needing(
  ...NEEDS.unprivileged,
  "from(net.Server): without libuv, and after a link that fails, everything is as it was",
  async () => {
    const folder = temporaryFolder();
    if (process.getuid!() === 0) {
      chmodSync(folder, 0o711);
      mkdirSync(`${folder}/s`);
      chownSync(`${folder}/s`, 65534, 65534);
    } else mkdirSync(`${folder}/s`);
    const { code, stderr } = await again(import.meta.url, "failing-link", [`${folder}/s`], {
      env: { NODE_OPTIONS: "--import=data:text/javascript,globalThis.Deno={}" },
    });
    assert.is(code, 0, stderr);
  },
);

const [, , first, second] = process.argv;
switch (role) {
  case "binder": {
    let socket: { close(): void } | null = null;
    for await (const line of createInterface({ input: process.stdin })) {
      if (line === "hello") console.log("hello");
      else if (line === "close") {
        socket?.close();
        socket = null;
        console.log("closed");
      } else {
        while (Date.now() < Number(line)); // all processes in the same millisecond
        try {
          socket = BINDERS[Number(first)]!(second!);
          console.log("bound");
        } catch (error) {
          console.log((error as SystemError).code);
        }
      }
    }
    process.exit(0);
    break;
  }
  case "bind-and-leave":
    process.stdout.write("started\n");
    for (let i = 0; ; i++) {
      leaveDead(first!, BINDERS[i % 4]);
      BINDERS[i % 4]!(first!).close();
    }
  case "watch-mode": {
    const modes = new Set<string>();
    let times = 0;
    console.log("watching");
    while (!existsSync(`${first!.slice(0, -2)}/end`)) {
      for (let i = 0; i < 100; i++) {
        const found = lstatSync(first!, { throwIfNoEntry: false });
        if (found === undefined) continue;
        times++;
        modes.add((found.mode & 0o777).toString(8));
      }
    }
    console.log([times, ...modes].join(" "));
    process.exit(0);
    break;
  }
  case "watch-gaps": {
    let looking = false;
    let looks = 0;
    let gaps = 0;
    const look = (): void => {
      for (let i = 0; i < 50; i++) {
        looks++;
        if (lstatSync(first!, { throwIfNoEntry: false }) === undefined) gaps++;
      }
      if (looking) setImmediate(look);
    };
    console.log("watching");
    for await (const line of createInterface({ input: process.stdin })) {
      if (line === "taking over") {
        looking = true;
        [looks, gaps] = [0, 0];
        look();
        console.log("there");
      } else {
        looking = false;
        console.log(`${looks} looks, ${gaps} gaps`);
      }
    }
    process.exit(0);
    break;
  }
  case "chdir": {
    for (const name of ["a", "b"]) mkdirSync(`${first}/${name}`);
    for (const bind of BINDERS) {
      process.chdir(`${first}/a`);
      const socket = bind("s.sock");
      process.chdir(`${first}/b`);
      const other = UnixListener.bind("s.sock");
      assert.is((socket as UnixListener).address, "s.sock");
      socket.close();
      assert.equal([readdirSync(`${first}/a`), readdirSync(`${first}/b`)], [[], ["s.sock"]]);
      other.close();
    }
    // A send that waits for room goes to the path that was meant when it was called.
    process.chdir(`${first}/a`);
    const listener = UnixListener.bind("s.sock", { backlog: 0 });
    const [filling, receiver, sender] = [
      UnixStream.connectSync("s.sock"),
      UnixDatagram.bind("d.sock"),
      UnixDatagram.unbound(),
    ];
    const full = await codeOf(() => {
      for (;;) sender.sendFdsToSync("x", [], "d.sock", { timeout: 0 });
    });
    assert.is(full, "ETIMEDOUT");
    const connecting = UnixStream.connect("s.sock");
    const sending = sender.sendFdsTo("waited", [], "d.sock");
    process.chdir("/");
    await new Promise((resolve) => setTimeout(resolve, 5));
    for (let i = 0; i < 2; i++) (await listener.accept()).close();
    (await connecting).close();
    for (let text = ""; text !== "waited"; ) text = (await receiver.recvFds(0)).data.toString();
    await sending;
    for (const one of [listener, filling, receiver, sender]) one.close();
    // A net.Server that listens at a path of another folder: its own name stays, and so does the name of the other socket.
    process.chdir(`${first}/a`);
    const server = createServer().listen("s.sock");
    await new Promise((resolve) => server.once("listening", resolve));
    process.chdir(`${first}/b`);
    const other = UnixListener.bind("s.sock");
    const taken = UnixListener.from(server);
    UnixStream.connectSync(`${first}/a/s.sock`).close();
    taken.acceptSync({ timeout: 1000 }).close();
    taken.close();
    UnixStream.connectSync("s.sock").close();
    other.close();
    // The name that it left is dead, and is replaced.
    UnixListener.bind(`${first}/a/s.sock`).close();
    assert.equal([readdirSync(`${first}/a`), readdirSync(`${first}/b`)], [[], []]);
    break;
  }
  case "taken-meanwhile": {
    const path = `${first}/socket`;
    const server = createServer().listen(path);
    await new Promise((resolve) => server.once("listening", resolve));
    const { close } = server;
    const others: UnixListener[] = [];
    server.close = (...all) => {
      close.apply(server, all);
      others.push(UnixListener.bind(path));
      return server;
    };
    const taken = UnixListener.from(server);
    const client = UnixStream.connectSync(path);
    const [other] = others as [UnixListener];
    other.acceptSync({ timeout: 1000 }).close();
    assert.equal(readdirSync(first!), ["socket"]);
    taken.close();
    assert.ok(existsSync(path));
    for (const one of [client, other]) one.close();
    break;
  }
  case "relative": {
    const strangers: Readonly<Record<string, () => { close(): void }>> = {
      "a file": () => {
        writeFileSync("s.sock", "kept");
        return { close: () => assert.is(readFileSync("s.sock", "utf8"), "kept") };
      },
      "a link to nothing": () => {
        symlinkSync("nowhere", "s.sock");
        return { close: () => assert.ok(lstatSync("s.sock").isSymbolicLink()) };
      },
      "a socket": () => {
        const other = UnixListener.bind("s.sock");
        return {
          close: () => {
            UnixStream.connectSync("s.sock").close();
            other.close();
          },
        };
      },
      "a socket of the same inode on another device": () => {
        const other = UnixListener.bind("s.sock");
        const { system } = other.platform as unknown as {
          system: { boundInode(fd: number, into: Uint32Array): number };
        };
        const { ino, dev } = lstatSync("s.sock");
        const { boundInode } = system;
        system.boundInode = (_, into) => {
          into.set([ino, dev + 1]);
          return 0;
        };
        return {
          close: () => {
            UnixStream.connectSync("s.sock").close();
            rmSync("s.sock");
            other.close();
            system.boundInode = boundInode;
          },
        };
      },
      nothing: () => ({ close: () => assert.equal(readdirSync("."), []) }),
    };
    for (const make of Object.values(strangers)) {
      process.chdir(first!);
      const server = createServer().listen("s.sock");
      await new Promise((resolve) => server.once("listening", resolve));
      process.chdir(second!);
      const stranger = make();
      const listener = UnixListener.from(server);
      assert.is(listener.address, "s.sock");
      UnixStream.connectSync(`${first}/s.sock`).close();
      listener.close();
      stranger.close();
      rmSync("s.sock", { force: true });
      // It is left there, dead, and can be replaced.
      UnixListener.bind(`${first}/s.sock`).close();
    }
    // In its own folder the name is removed, wherever the process is then.
    process.chdir(first!);
    const server = createServer().listen("s.sock");
    await new Promise((resolve) => server.once("listening", resolve));
    const listener = UnixListener.from(server);
    process.chdir(second!);
    UnixStream.connectSync(`${first}/s.sock`).close();
    listener.close();
    assert.equal([readdirSync(first!), readdirSync(second!)], [[], []]);
    break;
  }
  case "failing-link": {
    const { setTimeout: pause } = await import("node:timers/promises");
    if (process.getuid!() === 0) {
      process.setgid!(65534);
      process.setuid!(65534);
    }
    const path = `${first}/socket`;
    let connections = 0;
    const server = createServer((socket) => {
      connections++;
      socket.destroy();
    }).listen(path);
    await new Promise((resolve) => server.once("listening", resolve));
    const before = openFds().size;
    const { ino } = lstatSync(path);
    chmodSync(first!, 0o555);
    const error = (await errorOf(() => UnixListener.from(server))) as SystemError;
    assert.equal([error.code, error.syscall, error.address], ["EACCES", "link", path]);
    chmodSync(first!, 0o755);
    assert.ok(server.listening);
    assert.is(lstatSync(path).ino, ino);
    assert.equal(readdirSync(first!), ["socket"]);
    assert.is(openFds().size, before);
    netConnect(path).resume();
    while (connections === 0) await pause(5);
    const listener = UnixListener.from(server);
    assert.is(lstatSync(path).ino, ino);
    assert.equal(readdirSync(first!), ["socket"]);
    UnixStream.connectSync(path).close();
    listener.acceptSync({ timeout: 1000 }).close();
    listener.close();
    assert.equal(readdirSync(first!), []);
    break;
  }
  default:
    test.run();
}
