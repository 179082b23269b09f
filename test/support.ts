/** What tests share: counting descriptors, files of known content, second processes. */

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

/** The descriptors of this process and what they refer to, without the one that lists them. */
export function openFds(pid: number | "self" = "self"): Map<number, string> {
  const fds = new Map<number, string>();
  for (const name of readdirSync(`/proc/${pid}/fd`)) {
    try {
      fds.set(Number(name), readlinkSync(`/proc/${pid}/fd/${name}`));
    } catch {
      // The listing itself, gone by now.
    }
  }
  return fds;
}

/** A suite whose tests are held to leave no descriptor behind, and to close none of others. */
export interface LeakChecked {
  (name: string, body: () => unknown): void;
  /** A test with a Python peer; skipped, loudly, where there is no Python. */
  python(name: string, body: () => unknown): void;
  /** A test that looks at system calls; skipped, loudly, where there is no strace or it may not trace. */
  strace(name: string, body: () => unknown): void;
  /** A test that needs something else, by what it is called; skipped, loudly, where it is not there. */
  needing(there: boolean, what: string, name: string, body: () => unknown): void;
  run(): void;
}

/** The role this process was started in; undefined: the test itself. */
export const role: string | undefined = process.env.UNIX_ANCILLARY_TEST_ROLE;

/** Whether a program that a test needs works here. Not asked in a second process. */
export const works = (command: string, args: readonly string[]): boolean =>
  role === undefined && spawnSync(command, args).status === 0;
const hasPython = works("python3", ["-c", "import socket; socket.send_fds"]);

/**
 * The check is part of each test and no hook: uvu calls hooks again when a test fails, and one that throws then ends the
 * suite without a word.
 */
export function leakChecked(name: string): LeakChecked {
  const tests = suite(name);
  // What the first use opens for good (the library's, Node's own) is there before anything is counted.
  tests.before(async () => {
    const [a, b] = UnixStream.pair();
    const waiting = b.recvFds(0);
    await a.sendFds("x");
    await waiting;
    // libuv opens a spare descriptor with its first stream, and keeps it.
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    await new Promise((resolve) => server.close(resolve));
    a.close();
    b.close();
    await sleep(1);
  });
  const test = (title: string, body: () => unknown): void =>
    tests(title, async () => {
      const before = openFds();
      await body();
      // What libuv closes a turn later is waited for.
      let after = openFds();
      for (let turn = 0; turn < 100 && after.size !== before.size; turn++) {
        await sleep(5);
        after = openFds();
      }
      assert.equal(
        [...after].filter(([fd]) => !before.has(fd)),
        [],
        "descriptors left open",
      );
      // By what they refer to: another file may have got the number.
      assert.equal(
        [...before].filter(([fd, file]) => after.get(fd) !== file),
        [],
        "descriptors closed that were not the test's",
      );
    });
  const needing = (there: boolean, what: string, title: string, body: () => unknown): void => {
    if (there) {
      test(title, body);
      return;
    }
    if (role !== undefined) return;
    if (process.env.CI !== undefined) throw new Error(`${what} is missing, and in CI nothing is skipped`);
    console.log(`SKIPPED: ${name}, ${title}: needs ${what}`);
    tests.skip(title);
  };
  return Object.assign(test, {
    needing,
    python: (title: string, body: () => unknown) =>
      needing(hasPython, "python3 (3.9 or later) in the PATH", title, body),
    strace: (title: string, body: () => unknown) =>
      needing(works("strace", ["-o", "/dev/null", "true"]), "strace in the PATH, and leave to trace", title, body),
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

/** The kinds of socket, and both ends of a pair of each. */
export const PAIRS = [
  ["stream", () => UnixStream.pair()],
  ["seqpacket", () => UnixSeqpacket.pair()],
  ["datagram", () => UnixDatagram.pair()],
] as const;

/** Room for the most descriptors that one message carries, and for what may come beside them. */
export const ancillary = (): SocketAncillary => new SocketAncillary(4096);

/** A new empty folder, removed when the process ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "unix-ancillary-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Made when it is first needed: a child that is killed could not remove it. */
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

/** A path in a folder of this process's own, for a socket. */
export function socketPath(): string {
  return fresh("socket");
}

/** Sets variables for the time of a test. */
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

/** What a program that was run left. */
export interface Run {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end; one that hangs is killed. */
export function run(command: string, args: readonly string[], options: SpawnOptions = {}): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], timeout: 30_000, ...options });
    let stdout = "";
    let stderr = "";
    child.stdout?.on("data", (bytes) => (stdout += bytes));
    child.stderr?.on("data", (bytes) => (stderr += bytes));
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

/** Runs this test file again as another program: `role` is what {@link role} then says. */
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

/** The code of what a function throws, or a promise is rejected with. */
export async function codeOf(action: (() => unknown) | Promise<unknown>): Promise<string> {
  return ((await errorOf(action)) as { code?: string }).code ?? "no code";
}

export async function errorOf(action: (() => unknown) | Promise<unknown>): Promise<Error> {
  try {
    await (typeof action === "function" ? action() : action);
  } catch (error) {
    return error as Error;
  }
  throw new Error("expected an error");
}
