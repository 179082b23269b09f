/**
 * A worker that can reach nothing but what it is given: one file to read, one to write.
 *
 * `node build/examples/sandboxed-worker.js`. Three fences, one behind the other:
 *
 * - the user: where this runs as root, the worker is `nobody`, and its folder is `/`;
 * - Node's permission model: no writing, no processes, no threads, and no reading but of the program itself. It looks at
 *   paths, so descriptors that were opened by somebody else work all the same; that is what makes it useful here. The
 *   addon of this library needs `--allow-addons`, and native code is not held by that model: the user is the fence for it;
 * - an empty environment, and no descriptor but the socket, /dev/null and a pipe for errors.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  chmodSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  realpathSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { OwnedFd, UnixStream } from "unix-ancillary";

const NOBODY = 65534;

/** What the worker was asked to do, and what it found. */
interface Report {
  readonly input: string;
  readonly output: string;
  readonly user: number;
  readonly environment: string[];
  readonly attempts: Record<string, string>;
  readonly network: boolean;
}

async function parent(): Promise<void> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "unix-ancillary-sandbox-")));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  // The modes of the files stop the worker, not the folder.
  chmodSync(folder, 0o755);
  const [source, target] = [join(folder, "input"), join(folder, "output")];
  writeFileSync(source, "what the worker may read\n", { mode: 0o600 });
  const input = OwnedFd.fromRaw(openSync(source, "r"));
  const output = OwnedFd.fromRaw(openSync(target, "w", 0o600));

  const self = fileURLToPath(import.meta.url);
  const library = fileURLToPath(new URL("..", import.meta.resolve("unix-ancillary")));
  // Node 20 and 22.0 to 22.12 have it under its first name.
  const stable = process.allowedNodeEnvironmentFlags.has("--permission");
  const program = [self, `${library}package.json`, `${library}dist/*`, `${library}prebuilds/*`];
  const flags = [
    stable ? "--permission" : "--experimental-permission",
    "--allow-addons",
    ...program.map((path) => `--allow-fs-read=${path}`),
    // That the model is young, and addons a hole in it, is known: see above.
    "--no-warnings",
  ];
  const root = process.getuid!() === 0;
  const [ours, theirs] = UnixStream.pair();
  const worker = spawn(process.execPath, [...flags, self, "worker", source, target], {
    cwd: "/",
    env: {},
    // A terminal would be one more thing that it could reach: only errors, through a pipe.
    stdio: ["ignore", "ignore", "pipe", theirs.fd],
    ...(root ? { uid: NOBODY, gid: NOBODY } : {}),
  });
  worker.stderr!.pipe(process.stderr);
  theirs.close();
  const exit = new Promise<number | null>((resolve) => worker.once("close", resolve));

  await ours.sendFds("upper case, please", [input, output]);
  input.close();
  output.close();
  const answer = await ours.recvFds(0, { bufferSize: 65536 }).catch(() => null);
  assert.ok(answer?.data.length, `the worker failed; can ${root ? "nobody" : "this user"} read this program?`);
  const report = JSON.parse(answer.data.toString()) as Report;
  // It waits for our answer: its descriptors can be looked at from outside, where its own word is not needed.
  const links = readdirSync(`/proc/${worker.pid}/fd`).map((fd) => readlinkSync(`/proc/${worker.pid}/fd/${fd}`));
  const files = links.filter((link) => link.startsWith("/") && !link.startsWith("/dev/null")).sort();
  ours.close();
  assert.equal(await exit, 0);

  console.log(
    `worker: uid ${report.user}, node ${flags.slice(0, 2).join(" ")}, environment ${report.environment.length}`,
  );
  console.log(`worker: received ${report.input} and ${report.output}`);
  for (const [what, code] of Object.entries(report.attempts)) console.log(`worker: ${what}: ${code}`);
  console.log(`parent: the files it had open: ${files.join(", ")}`);
  if (report.network) console.log("NOTE: this Node has no --allow-net: the network is not fenced off");

  assert.deepEqual([report.input, report.output], ["file, read", "file, write"]);
  assert.deepEqual(report.environment, []);
  assert.equal(report.user, root ? NOBODY : process.getuid!());
  for (const [what, code] of Object.entries(report.attempts)) {
    assert.equal(code, what.endsWith("the descriptor") ? "EBADF" : "ERR_ACCESS_DENIED", what);
  }
  assert.deepEqual(files, [source, target]);
  assert.equal(readFileSync(target, "utf8"), "WHAT THE WORKER MAY READ\n");
  console.log(`held: the work is done, and ${Object.keys(report.attempts).length} other things failed`);
  if (!root)
    console.log("NOTE: not run as root: the worker stayed the same user, fenced by the permission model alone");
}

async function worker(): Promise<void> {
  const [, , , source, target] = process.argv as string[];
  const stream = UnixStream.from(OwnedFd.fromRaw(3));
  const message = await stream.recvFdsExact(2);
  const [input, output] = message.fds as [OwnedFd, OwnedFd];
  const describe = (owned: OwnedFd) => `${owned.describe().kind}, ${owned.describe().access}`;
  const attempts: Record<string, string> = {};
  const attempt = (what: string, action: () => unknown) => {
    try {
      action();
      attempts[what] = "it worked";
    } catch (error) {
      attempts[what] = (error as { code?: string }).code ?? String(error);
    }
  };
  attempt("read a file that everybody may", () => openSync("/etc/passwd", "r"));
  attempt("open its input by the path", () => openSync(source!, "r"));
  attempt("open its output by the path", () => openSync(target!, "r+"));
  // The classic way to make a descriptor for reading one for writing.
  attempt("open its input again, to write", () => openSync(`/proc/self/fd/${input.fd}`, "r+"));
  attempt("list a folder", () => readdirSync("/"));
  attempt("make a file where everybody may", () => openSync("/tmp/unix-ancillary-escaped", "w"));
  attempt("start a process", () => spawn("/bin/true"));
  attempt("start a thread", () => new Worker("", { eval: true }));
  attempt("write to its input by the descriptor", () => writeSync(input.fd, "x"));
  attempt("read its output by the descriptor", () => readSync(output.fd, Buffer.alloc(1)));

  writeSync(output.fd, readFileSync(input.fd, "utf8").toUpperCase());
  const { permission } = process as { permission?: { has(what: string): boolean } };
  // Older models do not know the word; then nothing holds the network.
  const network = !process.allowedNodeEnvironmentFlags.has("--allow-net") || permission?.has("net") === true;
  const [read, written] = [describe(input), describe(output)];
  const environment = Object.keys(process.env);
  const report: Report = { input: read, output: written, user: process.getuid!(), environment, attempts, network };
  await stream.sendFds(JSON.stringify(report));
  await stream.recvFds(0);
  message[Symbol.dispose]();
  stream.close();
}

await (process.argv[2] === "worker" ? worker() : parent());
