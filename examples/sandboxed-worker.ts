/**
 * A worker that can use only the two files it receives: one to read, one to write.
 *
 * `node build/examples/sandboxed-worker.js`. Three layers restrict the worker:
 *
 * - The user: if this runs as root, the worker runs as `nobody`, in the folder `/`.
 * - Node's permission model: no writing, no processes, no threads, and reading only the program itself. The model checks paths,
 *   so descriptors opened by another process still work; that makes it useful here. The addon of this library needs
 *   `--allow-addons`, and the model does not restrict native code: only the user does.
 * - An empty environment, and no descriptors except the socket, /dev/null and a pipe for errors.
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

/** What the worker received, and what it found. */
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
  // The modes of the files, not of the folder, restrict the worker.
  chmodSync(folder, 0o755);
  const [source, target] = [join(folder, "input"), join(folder, "output")];
  writeFileSync(source, "what the worker may read\n", { mode: 0o600 });
  const input = OwnedFd.fromRaw(openSync(source, "r"));
  const output = OwnedFd.fromRaw(openSync(target, "w", 0o600));

  const self = fileURLToPath(import.meta.url);
  const library = fileURLToPath(new URL("..", import.meta.resolve("unix-ancillary")));
  // Node 20 and 22.0 to 22.12 use the older name of the option.
  const stable = process.allowedNodeEnvironmentFlags.has("--permission");
  const program = [self, `${library}package.json`, `${library}dist/*`, `${library}prebuilds/*`];
  const flags = [
    stable ? "--permission" : "--experimental-permission",
    "--allow-addons",
    ...program.map((path) => `--allow-fs-read=${path}`),
    // Node warns that the model is experimental and that addons bypass it: see above.
    "--no-warnings",
  ];
  const root = process.getuid!() === 0;
  const [ours, theirs] = UnixStream.pair();
  const worker = spawn(process.execPath, [...flags, self, "worker", source, target], {
    cwd: "/",
    env: {},
    // No terminal, which would be one more thing to reach: only a pipe for errors.
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
  assert.ok(
    answer?.data.length,
    `the worker failed; check that ${root ? "the user nobody" : "this user"} can read this program`,
  );
  const report = JSON.parse(answer.data.toString()) as Report;
  // The worker waits for an answer: list its descriptors from outside, without trusting the worker.
  const links = readdirSync(`/proc/${worker.pid}/fd`).map((fd) => readlinkSync(`/proc/${worker.pid}/fd/${fd}`));
  const files = links.filter((link) => link.startsWith("/") && !link.startsWith("/dev/null")).sort();
  ours.close();
  assert.equal(await exit, 0);

  console.log(
    `worker: uid ${report.user}, node ${flags.slice(0, 2).join(" ")}, environment ${report.environment.length}`,
  );
  console.log(`worker: received ${report.input} and ${report.output}`);
  for (const [action, code] of Object.entries(report.attempts)) console.log(`worker: ${action}: ${code}`);
  console.log(`parent: files that the worker had open: ${files.join(", ")}`);
  if (report.network) console.log("NOTE: this Node has no --allow-net: the worker can use the network");

  assert.deepEqual([report.input, report.output], ["file, read", "file, write"]);
  assert.deepEqual(report.environment, []);
  assert.equal(report.user, root ? NOBODY : process.getuid!());
  for (const [what, code] of Object.entries(report.attempts)) {
    assert.equal(code, what.endsWith("the descriptor") ? "EBADF" : "ERR_ACCESS_DENIED", what);
  }
  assert.deepEqual(files, [source, target]);
  assert.equal(readFileSync(target, "utf8"), "WHAT THE WORKER MAY READ\n");
  console.log(`held: the work is done, and ${Object.keys(report.attempts).length} other actions were refused`);
  if (!root)
    console.log("NOTE: not run as root: the worker ran as the same user, restricted by the permission model only");
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
      attempts[what] = "success";
    } catch (error) {
      attempts[what] = (error as { code?: string }).code ?? String(error);
    }
  };
  attempt("read a file that every user may read", () => openSync("/etc/passwd", "r"));
  attempt("open its input by path", () => openSync(source!, "r"));
  attempt("open its output by path", () => openSync(target!, "r+"));
  // The classic way to turn a read descriptor into a write descriptor.
  attempt("reopen its input for writing", () => openSync(`/proc/self/fd/${input.fd}`, "r+"));
  attempt("list a folder", () => readdirSync("/"));
  attempt("create a file in a folder that every user may write to", () => openSync("/tmp/unix-ancillary-escaped", "w"));
  attempt("start a process", () => spawn("/bin/true"));
  attempt("start a thread", () => new Worker("", { eval: true }));
  attempt("write to its input through the descriptor", () => writeSync(input.fd, "x"));
  attempt("read its output through the descriptor", () => readSync(output.fd, Buffer.alloc(1)));

  writeSync(output.fd, readFileSync(input.fd, "utf8").toUpperCase());
  const { permission } = process as { permission?: { has(what: string): boolean } };
  // Older versions of the model do not cover the network.
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
