/** Shared by the tests: counting descriptors, files of known content, second processes. */

import { constants } from "node:buffer";
import { type SpawnOptions, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { SocketAncillary, UnixDatagram, UnixSeqpacket, UnixStream } from "unix-ancillary";
import { suite } from "uvu";
import * as assert from "uvu/assert";

const bun = "Bun" in globalThis;
const deno = "Deno" in globalThis;

/** Whether a thread reports readiness, and not libuv. */
export const threadReports: boolean = bun || deno || process.env.UNIX_ANCILLARY_READINESS === "thread";

/**
 * The share of a processor that this process takes: the least of ten readings, or the first below a quarter. The first takes
 * `milliseconds`, the others more and more. What never rests takes the processor in each reading, while a garbage collection or a
 * compilation is over at some time.
 */
export async function leastProcessorShare(
  milliseconds: number,
  wait: (ms: number) => unknown = sleep,
): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let reading = 1; reading <= 10 && least >= 0.25; reading++) {
    const before = process.cpuUsage();
    await wait(reading * milliseconds);
    const { user, system } = process.cpuUsage(before);
    least = Math.min(least, (user + system) / 1000 / (reading * milliseconds));
  }
  return least;
}

/** Waits until a number has not changed for a tenth of a second, and returns it. */
export async function settled(number: () => number): Promise<number> {
  let last = number();
  for (let same = 0; same < 10; same++) {
    await sleep(10);
    if (number() !== last) same = 0;
    last = number();
  }
  return last;
}

/**
 * Waits until no more than so many descriptors are open. Another thread closes the received descriptors of an error. On a busy machine
 * the error may come first, and a test that then fills the table finds one slot more later.
 */
export function closedAgain(most: number): void {
  const asleep = new Int32Array(new SharedArrayBuffer(4));
  for (let turn = 0; turn < 1000 && openFds().size > most; turn++) Atomics.wait(asleep, 0, 0, 1);
}

/** The open descriptors of a process, and the files they refer to, without the descriptor that lists them. */
export function openFds(pid: number | "self" = "self"): Map<number, string> {
  const fds = new Map<number, string>();
  for (const name of readdirSync(`/proc/${pid}/fd`)) {
    try {
      const target = readlinkSync(`/proc/${pid}/fd/${name}`);
      // ThreadSanitizer's background thread has the maps open from time to time, the allocator of Deno the other file. Deno keeps the
      // epoll and the eventfd of a worker that has loaded an addon until the next one ends.
      if (
        !/^\/proc\/(\d+\/maps|sys\/vm\/overcommit_memory)$/.test(target) &&
        !(deno && /\[event(poll|fd)\]$/.test(target))
      )
        fds.set(Number(name), target);
    } catch {
      // The descriptor that listed the folder is closed by now.
    }
  }
  return fds;
}

/** On Deno, waits until it has opened two sockets that it keeps, half a second after the start of a process. */
export async function denosSockets(): Promise<void> {
  if (!deno) return;
  const sockets = () => [...openFds().values()].filter((file) => file.startsWith("socket:")).length;
  const before = sockets();
  for (let turn = 0; turn < 60 && sockets() < before + 2; turn++) await sleep(50);
}

/**
 * Whether a socket option is there: Linux says ENOPROTOOPT when it is not, and the library ENOTSUP where a system never has it. gVisor says
 * ENOPROTOOPT only when an option is read.
 */
function hasOption(ask: (a: UnixStream) => unknown): boolean {
  const [a, b] = UnixStream.pair();
  try {
    ask(a);
    return true;
  } catch (error) {
    const { code, syscall } = error as { code?: string; syscall?: string };
    const expected = process.platform === "linux" ? "ENOPROTOOPT" : "ENOTSUP";
    if (code !== expected || !/^[gs]etsockopt$/.test(syscall ?? "")) throw error;
    return false;
  } finally {
    a.close();
    b.close();
  }
}

/** What some tests need, as the first arguments of {@link LeakChecked.needing}. Asked when it is used: not every test has the addon. */
export const NEEDS = {
  get passPidfd() {
    return [
      hasOption((a) => {
        a.setPassPidfd(true);
        a.getOption("SOL_SOCKET", "SO_PASSPIDFD");
      }),
      "SO_PASSPIDFD (Linux 6.5)",
    ] as const;
  },
  get peerPidfd() {
    return [hasOption((a) => a.peerPidfd().close()), "SO_PEERPIDFD (Linux 6.5)"] as const;
  },
  get passRights() {
    return [
      hasOption((a) => {
        a.setPassRights(true);
        a.getOption("SOL_SOCKET", "SO_PASSRIGHTS");
      }),
      "SO_PASSRIGHTS (Linux 6.16)",
    ] as const;
  },
  /** Debian's Node 20 with its libuv 1.50 refuses `setgid`, whatever UV_USE_IO_URING says. */
  get unprivileged() {
    const [uid, gid] = [process.getuid!(), process.getgid!()];
    let able = uid !== 0;
    try {
      process.setgid!(gid);
      able = true;
    } catch {
      // Not allowed, or not possible.
    }
    return [able, "a Node that lets root give up its privileges"] as const;
  },
  largeArrays: [constants.MAX_LENGTH >= 2 ** 32, "arrays of 4 GiB"] as const,
};

/** A suite whose tests must leave no descriptor open, and close none that they did not open. */
export interface LeakChecked {
  (name: string, body: () => unknown): void;
  /** A test with a Python peer; skipped with a message if there is no Python. */
  python(name: string, body: () => unknown): void;
  /** A test that checks system calls; skipped with a message if there is no strace, or it may not trace. */
  strace(name: string, body: () => unknown): void;
  /** A test that needs something else, named by `what`; skipped with a message if it is not available. */
  needing(available: boolean, what: string, name: string, body: () => unknown): void;
  run(): void;
}

/** The role that this process was started in; undefined for the test itself. */
export const role: string | undefined = process.env.UNIX_ANCILLARY_TEST_ROLE;

/** A part of the titles of the tests that run; empty: all. `npm run mutate` sets it. */
const ONLY = process.env.UNIX_ANCILLARY_TEST_ONLY ?? "";

/** The tests of this file that fail on this runtime or machine, by title, and why. Each of them runs alone (scripts/listed-suite.mjs). */
const FAILING: Readonly<Record<string, string>> =
  role === undefined ? JSON.parse(process.env.UNIX_ANCILLARY_TEST_FAILING ?? "{}") : {};

/** How many times slower than Node on a real processor this machine is. */
export const SLOWNESS = Number(process.env.UNIX_ANCILLARY_TEST_SLOWNESS ?? 1);

/** Whether a program that a test needs works here. Always false in a second process. */
export const works = (command: string, args: readonly string[]): boolean =>
  role === undefined && spawnSync(command, args).status === 0;
const hasPython = works("python3", ["-c", "import socket; socket.send_fds"]);

/** The first operation that waits: the library opens descriptors for it, and keeps them. */
export async function waitOnce(): Promise<void> {
  const [a, b] = UnixStream.pair();
  const waiting = b.recvFds(0);
  await a.sendFds("x");
  await waiting;
  a.close();
  b.close();
}

/**
 * Creates a suite. The check is a part of each test, not a hook: uvu calls the hooks again when a test fails, and a hook that
 * then throws ends the suite without a message.
 */
export function leakChecked(name: string): LeakChecked {
  const tests = suite(name);
  // The library and Node open some descriptors at first use and keep them: do that before anything is counted.
  tests.before(async () => {
    await waitOnce();
    // libuv opens a spare descriptor with its first stream and keeps it.
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    await new Promise((resolve) => server.close(resolve));
    await denosSockets();
    // Bun duplicates descriptor 2 at the first warning.
    if (bun) process.stderr.write("");
    await sleep(1);
  });
  const skip = (title: string, why: string): void => {
    console.log(`SKIPPED: ${name}, ${title}: ${why}`);
    tests.skip(title);
  };
  const test = (title: string, body: () => unknown): void => {
    if (!title.includes(ONLY)) return;
    const why = FAILING[title];
    if (why !== undefined) {
      if (role === undefined) skip(title, why);
      return;
    }
    tests(title, async () => {
      const before = openFds();
      await body();
      // libuv closes some descriptors a turn later: wait for that.
      let after = openFds();
      for (let turn = 0; turn < 100 && after.size !== before.size; turn++) {
        // Bun closes the sockets that were a child's stdio when they are collected.
        if (bun) globalThis.gc?.();
        await sleep(5);
        after = openFds();
      }
      assert.equal(
        [...after].filter(([fd]) => !before.has(fd)),
        [],
        "descriptors left open",
      );
      // Compare files, not only numbers: another file may have the same number.
      assert.equal(
        [...before].filter(([fd, file]) => after.get(fd) !== file),
        [],
        "closed descriptors that the test did not open",
      );
    });
  };
  const needing = (available: boolean, what: string, title: string, body: () => unknown): void => {
    if (available) {
      test(title, body);
      return;
    }
    if (role !== undefined || !title.includes(ONLY)) return;
    if (process.env.CI !== undefined) throw new Error(`${what} is missing; in CI no test is skipped`);
    skip(title, `needs ${what}`);
  };
  return Object.assign(test, {
    needing,
    python: (title: string, body: () => unknown) =>
      needing(hasPython, "python3 (3.9 or later) in the PATH", title, body),
    strace: (title: string, body: () => unknown) =>
      needing(
        works("strace", ["-o", "/dev/null", "true"]),
        "strace in the PATH, with permission to trace",
        title,
        body,
      ),
    run: () => tests.run(),
  });
}

/** The body of a test that needs two connected streams. */
export function pair(body: (a: UnixStream, b: UnixStream) => unknown): () => Promise<void> {
  return async () => {
    const [a, b] = UnixStream.pair();
    try {
      await body(a, b);
    } finally {
      a.close();
      b.close();
    }
  };
}

/** The types of sockets, with a function that creates a pair. */
export const PAIRS = [
  ["stream", () => UnixStream.pair()],
  ["seqpacket", () => UnixSeqpacket.pair()],
  ["datagram", () => UnixDatagram.pair()],
] as const;

/**
 * Fills the queue of a datagram receiver, and returns how many messages that took. A kernel limits their number, or the memory of their
 * sender; the smallest reach that. gVisor limits the bytes of all, which takes larger ones: many small ones would take minutes, and the
 * turn of the event loop.
 */
export function crowd(sender: Pick<UnixDatagram, "trySendFdsTo">, path: string): number {
  let sent = 0;
  while (sent < 20 && sender.trySendFdsTo("x", [], path) !== null) sent++;
  for (let bytes = 32768; bytes > 0; bytes >>= 1) {
    while (sender.trySendFdsTo("x".repeat(bytes), [], path) !== null) sent++;
  }
  return sent;
}

/** An ancillary buffer with room for the most descriptors of one message, and for other control messages. */
export const ancillary = (): SocketAncillary => new SocketAncillary(4096);

/** A new empty folder, removed when the process ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "unix-ancillary-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Created when first needed: a child that is killed could not remove it. */
let folder: string | undefined;
let files = 0;

function fresh(name: string): string {
  folder ??= temporaryFolder();
  return join(folder, `${name}-${files++}`);
}

/** The path of a new file with this content. */
export function fileWith(content: string): string {
  const path = fresh("file");
  writeFileSync(path, content);
  return path;
}

/** A new path for a socket, in a folder of this process. */
export function socketPath(): string {
  return fresh("socket");
}

/** Sets environment variables while `body` runs. */
export async function withEnvironment(variables: Record<string, string>, body: () => unknown): Promise<void> {
  const before = { ...process.env };
  Object.assign(process.env, variables);
  try {
    await body();
  } finally {
    for (const name of Object.keys(variables)) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  }
}

/** The result of a program. */
export interface Run {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end; kills it if it hangs. */
export function run(command: string, args: readonly string[], options: SpawnOptions = {}): Promise<Run> {
  const timeout = (options.timeout ?? 30_000) * SLOWNESS;
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options, timeout });
    let stdout = "";
    let stderr = "";
    child.stdout?.on("data", (bytes) => (stdout += bytes));
    child.stderr?.on("data", (bytes) => (stderr += bytes));
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

/** Runs this test file again in another process, with {@link role} set to `role`. */
export function again(
  url: string,
  role: string,
  args: readonly string[] = [],
  options: SpawnOptions = {},
): Promise<Run> {
  return run(process.execPath, ["--expose-gc", fileURLToPath(url), ...args], {
    ...options,
    env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: role, ...options.env },
  });
}

/** The code of the error that a function throws or a promise is rejected with. */
export async function codeOf(action: (() => unknown) | Promise<unknown>): Promise<string> {
  return ((await errorOf(action)) as { code?: string }).code ?? "no code";
}

/** The error that a function throws or a promise is rejected with. */
export async function errorOf(action: (() => unknown) | Promise<unknown>): Promise<Error> {
  try {
    await (typeof action === "function" ? action() : action);
  } catch (error) {
    return error as Error;
  }
  throw new Error("expected an error");
}
