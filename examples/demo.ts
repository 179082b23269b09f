/**
 * The demo: a process opens a file and a listening socket, and gives both to a process that may open neither.
 *
 * `npm run demo [-- FILE]`. When run as root, the second process drops to `nobody` and cannot open the file itself.
 */

import { spawn } from "node:child_process";
import {
  chmodSync,
  closeSync,
  copyFileSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeSync,
} from "node:fs";
import { createServer, get } from "node:http";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { OwnedFd, UnixStream } from "unix-ancillary";

const NOBODY = 65534;
const bold = (text: string) => (process.stdout.isTTY ? `\x1b[1m${text}\x1b[0m` : text);
const dim = (text: string) => (process.stdout.isTTY ? `\x1b[2m${text}\x1b[0m` : text);

/** Prints a line, with the process that says it. */
function say(what: string): void {
  const role = process.argv[2] === "child" ? "  child " : "parent  ";
  try {
    // One write: two processes share this terminal.
    writeSync(1, `${bold(role)}${dim(`pid ${process.pid}`)}  ${what}\n`);
  } catch (error) {
    // `npm run demo | head` stops reading early.
    if ((error as { code?: string }).code !== "EPIPE") throw error;
  }
}

/** The number of open descriptors, except the one that lists them. */
function openFds(): number {
  return readdirSync("/proc/self/fd").length - 1;
}

/** libuv opens a spare descriptor with its first stream and keeps it: do that before counting. */
async function warmUp(): Promise<void> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((listening) => server.once("listening", listening));
  await new Promise((closed) => server.close(closed));
}

function userName(): string {
  const uid = process.getuid!();
  return uid === 0 ? "root" : uid === NOBODY ? "nobody" : `uid ${uid}`;
}

async function parent(): Promise<void> {
  const source = resolve(process.argv[2] ?? fileURLToPath(new URL("../../README.md", import.meta.url)));
  const folder = mkdtempSync(join(tmpdir(), "unix-ancillary-demo-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  // A copy that only its owner may read.
  const secret = join(folder, basename(source));
  copyFileSync(source, secret);
  chmodSync(secret, 0o600);
  chmodSync(folder, 0o755);

  const root = process.getuid!() === 0;
  await warmUp();
  const before = openFds();
  const [ours, theirs] = UnixStream.pair();
  say(`running as ${userName()}. I own ${basename(secret)}, mode 0600, and a TCP socket that listens on loopback.`);

  const file = OwnedFd.fromRaw(openSync(secret, "r"));
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as { port: number };

  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), "child", secret], {
    stdio: ["ignore", "inherit", "inherit", theirs.fd],
  });
  theirs.close();
  const ended = new Promise<number | null>((exit) => child.once("exit", exit));
  if (!root) say("not running as root, so the child runs as the same user and could open the file itself.");

  await ours.sendFds(`${port}`, [file, server]);
  say(`sent 2 descriptors in one message: the file, read-only, and the listener on port ${port}.`);
  file.close();
  await new Promise((closed) => server.close(closed));
  say("closed my descriptors. The child's stay open.");

  // The child reports when it listens: it owns the socket now.
  const ready = await ours.recvFds(0);
  if (ready.eof) throw new Error("the child ended early");
  const answer = await new Promise<string>((done, fail) => {
    get({ port, host: "127.0.0.1", agent: false }, (response) => {
      let body = "";
      response.on("data", (bytes) => (body += bytes));
      response.on("end", () => done(body));
    }).on("error", fail);
  });
  say(`sent an HTTP request to port ${port}; the answer: ${JSON.stringify(answer.trim())}`);
  const code = await ended;
  ours.close();
  const after = openFds();
  say(`descriptors: ${before} at the start, ${after} now. The child exited with ${code}.`);
  process.exitCode = code === 0 && after === before ? 0 : 1;
}

async function child(): Promise<void> {
  const path = process.argv[3]!;
  const stream = UnixStream.from(OwnedFd.fromRaw(3));
  if (process.getuid!() === 0) {
    process.setgroups!([]);
    process.setgid!(NOBODY);
    process.setuid!(NOBODY);
  }
  await warmUp();
  const before = openFds();
  let denied = "success";
  try {
    closeSync(openSync(path, "r"));
  } catch (error) {
    denied = (error as { code: string }).code;
  }
  say(`running as ${userName()}. Opening ${basename(path)} by its path: ${denied}.`);

  const message = stream.recvFdsExactSync(2);
  const [file, listener] = message.fds as [OwnedFd, OwnedFd];
  const { kind, access, size } = file.describe();
  const socket = listener.describe().socket!;
  const { address, port } = socket.address as { address: string; port: number };
  say(
    `received a ${kind} of ${size} bytes, access "${access}", and a ${socket.type} socket, listening on ${address}:${port}.`,
  );

  const content = readFileSync(file.fd, "utf8");
  say(`read the file through the descriptor; its first line: ${JSON.stringify(content.split("\n", 1)[0])}`);
  let refused = "success";
  try {
    writeSync(file.fd, "x");
  } catch (error) {
    refused = (error as { code: string }).code;
  }
  say(`writing to it: ${refused}.`);
  file.close();

  // Node's server takes ownership of the descriptor, and closes it.
  const server = createServer((request, response) => {
    response.setHeader("connection", "close");
    response.end(`${content.length} characters, read by pid ${process.pid}, running as ${userName()}\n`);
    say(`answered ${request.method} ${request.url} on a socket that I did not bind.`);
    server.close();
  });
  await new Promise<void>((listening) => server.listen({ fd: listener.release() }, listening));
  stream.sendFdsSync("ready");
  await new Promise((closed) => server.once("close", closed));
  const after = openFds();
  say(`descriptors: ${before} at the start, ${after} now.`);
  stream.close();
  process.exitCode = after === before && refused === "EBADF" ? 0 : 1;
}

await (process.argv[2] === "child" ? child() : parent());
