// What the lanes of other processors and other kernels share: which files run, on which machine, and the record of it.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { readOptions, run, SKIP_MISSING, Tally, testFiles } from "../lane.mjs";
import { runListed, tallyResult } from "../listed-suite.mjs";
import { record } from "../platforms.mjs";
import { refuse } from "../tally.mjs";
import { FOLDER, Missing, Suite } from "./debian.mjs";
import { emulator } from "./emulator.mjs";
import { runsc } from "./gvisor.mjs";
import { completeRoot, makeImage } from "./image.mjs";
import { initramfs } from "./initramfs.mjs";
import { runMachine } from "./machine.mjs";
import { PACKAGES } from "./targets.mjs";

/** Files that check sources, documents, scripts or the benchmark. They need more than the package, and say the same everywhere. */
const NOT_RUN = ["architecture", "bench/curve", "doc-examples", "documents", "package", "scripts"];
/** What matters most runs first. */
const FIRST = ["fd/", "message/", "socket/", "core/", "channel/", "system/"];
const MINUTE = 60_000;
/** A machine of which nothing is heard any more ends after these. */
const MACHINE_TIMEOUT = 120 * MINUTE;
/** libuv's io_uring keeps Node 20.19 from giving up privileges. Some limits of the tests are for real processors. */
const ENVIRONMENT = { UV_USE_IO_URING: "0", UNIX_ANCILLARY_TEST_SLOWNESS: "10" };

/** The options of these lanes. `more`: those of one of them. */
export function laneOptions(more = {}) {
  const options = readOptions(
    {
      ...SKIP_MISSING,
      only: { type: "string", multiple: true, default: [] },
      record: { type: "boolean", default: false },
      sample: { type: "boolean", default: false },
      ...more,
    },
    { allowPositionals: true },
  );
  return { options, tally: new Tally(options) };
}

/** The names on the command line, or all. The script ends at an unknown one: 6.1 is no part of 6.12. */
export function chosen(names, wanted, kind) {
  const unknown = wanted.find((name) => !names.includes(name));
  if (unknown !== undefined) refuse(`no ${kind} ${unknown}: ${names.join(", ")}`);
  return wanted.length > 0 ? wanted : names;
}

function rank(file) {
  const at = FIRST.findIndex((room) => file.startsWith(room));
  return at < 0 ? FIRST.length : at;
}

/** The files that run: those with one of these parts in their path, or all. */
function filesFor(only) {
  const files = testFiles().filter((file) => !NOT_RUN.includes(file));
  return files
    .filter((file) => only.length === 0 || only.some((part) => file.includes(part)))
    .sort((a, b) => rank(a) - rank(b));
}

/** What fails on a machine with these names, by file and title, and why (test/machines/failures.json). */
function failingOn(names) {
  const all = JSON.parse(readFileSync(join("test", "machines", "failures.json"), "utf8"));
  const failing = {};
  for (const name of names) {
    for (const [file, titles] of Object.entries(all[name] ?? {})) failing[file] = { ...failing[file], ...titles };
  }
  return failing;
}

/**
 * Runs the suite somewhere, and adds it up.
 *
 * @param target `label` names it in what is printed; `failures`: the names of its lists; `only`; `recorded`: what it is called in the
 *   record, absent when nothing is recorded
 * @param start runs the files, given what {@link runListed} takes, and a function that is called with each result and what the
 *   machine says of itself. Returns what was wrong with the machine
 */
async function suiteOn(tally, { label, failures, only, recorded }, start) {
  const job = {
    files: filesFor(only),
    failing: failingOn(failures),
    timeout: 60 * MINUTE,
    aloneTimeout: 3 * MINUTE,
  };
  if (job.files.length === 0) throw new Missing(`no test file matches ${only.join(", ")}`);
  const of = filesFor([]).length;
  const report = (result, machine) => {
    tallyResult(tally, label, result);
    // At once: a run can be stopped.
    if (recorded !== undefined) record({ ...recorded, ...machine, result, of });
  };
  const wrong = await start(job, report);
  if (wrong !== undefined) tally.result(false, label, wrong);
}

/** Runs something that may be missing here. */
export async function attempt(tally, label, body) {
  try {
    await body();
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
    tally.missing(label, error.message);
  }
}

/** The root file system of an architecture. `node`: whether Debian's Node is in it. */
export function rootOf({ suite, debian }, node) {
  return new Suite(suite, debian).unpacked("roots", node ? ["nodejs", ...PACKAGES] : ["libstdc++6", ...PACKAGES]);
}

/**
 * Runs the suite on a kernel of Debian, in an emulated machine.
 *
 * @param machine one of targets.mjs
 * @param options `processor`: whose addon; `kernel` and `kernelSuite`: the package; `node`: the program, if not Debian's
 */
export async function suiteInMachine(tally, target, machine, { processor, kernel, kernelSuite, node }) {
  const [name, ...args] = machine.system;
  const program = emulator(name);
  const root = rootOf(machine, node === undefined);
  const { folder, file } = new Suite(kernelSuite, machine.debian).kernel(kernel);
  const image = join(FOLDER, `${process.pid}-${processor}.img`);
  const first = join(FOLDER, `${process.pid}-${processor}.initramfs`);
  writeFileSync(first, initramfs(root, folder));
  await suiteOn(tally, target, async (job, report) => {
    completeRoot(root, { processor, node, job: { ...job, most: machine.processors, env: ENVIRONMENT } });
    makeImage(image, root);
    const command = [
      ...program,
      ...args.map((arg) => arg.replace("IMAGE", image)),
      ...["-accel", "tcg", "-m", String(machine.memory), "-smp", String(machine.processors)],
      ...["-nographic", "-no-reboot", "-net", "none", "-kernel", file, "-initrd", first],
      ...["-append", `console=${machine.console} quiet loglevel=1 panic=-1`],
    ];
    return runMachine(command, { timeout: MACHINE_TIMEOUT, files: [image, first], report });
  });
}

/**
 * Makes a program whose loader is looked for in the current folder, by a relative name: newer kernels need a newer C library than this
 * machine may have. The loader cannot be started in its place, because user-mode Linux has its memory behind its own data.
 * Debian 11's link to it is absolute.
 */
function withOwnLoader(folder, program) {
  const link = join(folder, "ld.so");
  rmSync(link, { force: true });
  symlinkSync("lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", link);
  const bytes = readFileSync(program);
  const loader = "/lib64/ld-linux-x86-64.so.2";
  bytes.write("ld.so".padEnd(loader.length, "\0"), bytes.indexOf(`${loader}\0`), "latin1");
  writeFileSync(`${program}.own`, bytes, { mode: 0o755 });
  return `${program}.own`;
}

/**
 * Runs the suite on a kernel of Debian that is a program of this machine: user-mode Linux, much quicker than an emulated machine.
 *
 * @param machine of targets.mjs, whose root file system is used
 * @param options `uml`: the suite whose package has it
 */
export async function suiteInUml(tally, target, machine, { processor, uml, node }) {
  const root = rootOf(machine, false);
  const folder = new Suite(uml, machine.debian).unpacked("uml", ["user-mode-linux", "libc6"], { alone: true });
  const kernel = withOwnLoader(folder, join(folder, "usr", "bin", "linux.uml"));
  const shim = join(folder, "xstate.so");
  const source = join("scripts", "machines", "xstate.c");
  const { code, output, how } = await run("cc", ["-shared", "-fPIC", "-O1", "-o", shim, source]);
  if (code !== 0) throw new Missing(`a C compiler (${how}) ${output}`);
  const image = join(FOLDER, `${process.pid}-uml.img`);
  await suiteOn(tally, target, async (job, report) => {
    // The addresses that V8 reserves for each memory of WebAssembly do not fit into its address space.
    const env = { ...ENVIRONMENT, NODE_OPTIONS: "--disable-wasm-trap-handler" };
    completeRoot(root, { processor, node, job: { ...job, most: 1, env } });
    makeImage(image, root);
    const libraries = join(folder, "lib", "x86_64-linux-gnu");
    const command = [
      ...["env", "-C", folder, `LD_LIBRARY_PATH=${libraries}`, `LD_PRELOAD=${shim}`, kernel],
      ...[`mem=${machine.memory}M`, `ubd0=${image}`],
      ...["root=/dev/ubda", "rw", "init=/guest.sh", "con=null", "con0=fd:0,fd:1", "quiet", "loglevel=1"],
    ];
    return runMachine(command, { timeout: MACHINE_TIMEOUT, files: [image], report });
  });
}

/** Runs the suite in gVisor, on the files of this machine. What it writes stays in the sandbox. */
export async function suiteInGvisor(tally, target) {
  const program = await runsc();
  const state = mkdtempSync(join(FOLDER, "gvisor", "state-"));
  const file = join(state, "job.json");
  await suiteOn(tally, target, async (job, report) => {
    writeFileSync(file, JSON.stringify({ ...job, most: 1, env: ENVIRONMENT }));
    const sandbox = ["--ignore-cgroups", "--network=none", "--platform=ptrace", "--root", state];
    const guest = [process.execPath, join("scripts", "machines", "guest.mjs"), file];
    const command = [program, ...sandbox, "do", "-cwd", resolve("."), ...guest];
    return runMachine(command, { timeout: MACHINE_TIMEOUT, files: [state], report });
  });
}

/** In a mount namespace of its own: `$1` is the root file system. */
const CHROOT = `mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && mount -t tmpfs -o mode=1777 tmpfs "$1/tmp" || exit
cd "$1/project" && exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 chroot "$1" /bin/sh -c "cd /project && exec /usr/bin/node scripts/machines/guest.mjs"`;

/** Runs the suite on this kernel, in a root file system of Debian's packages whose programs this processor can run. */
export async function suiteInRoot(tally, target, processor, { name, most }) {
  if (process.getuid() !== 0) throw new Missing("the privileges of root, for chroot(2)");
  const root = rootOf(processor, true);
  await suiteOn(tally, target, async (job, report) => {
    completeRoot(root, { processor: name, job: { ...job, most, env: ENVIRONMENT } });
    const namespaces = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    const command = ["unshare", ...namespaces, "sh", "-c", CHROOT, "sh", root];
    return runMachine(command, { timeout: MACHINE_TIMEOUT, files: [], report });
  });
}

/** What a program in place of Node says of its machine. */
function machineOf(program) {
  const script = join("scripts", "machines", "say.mjs");
  return JSON.parse(execFileSync(program, [script], { encoding: "utf8" }));
}

/** Runs the suite on this kernel, with a program in place of Node: a command with its first arguments. `libc`: what it does
 * not know of itself. */
export async function suiteHere(tally, target, command, { processor, most, libc }) {
  const addon = join("prebuilds", `linux-${processor}`, "unix-ancillary.node");
  if (!existsSync(addon)) throw new Missing(`${addon} (npm run prebuilds)`);
  const folder = resolve(FOLDER, "bin", target.failures.join("-"));
  mkdirSync(folder, { recursive: true });
  const program = join(folder, "node");
  const preload = join(folder, "preload.cjs");
  // The tests start Node again by process.execPath.
  writeFileSync(preload, `process.execPath = ${JSON.stringify(program)};\n`);
  const words = [...command, "--require", preload].map((word) => `'${word}'`).join(" ");
  writeFileSync(program, `#!/bin/sh\nexec ${words} "$@"\n`, { mode: 0o755 });
  await suiteOn(tally, target, async (job, report) => {
    // In CI, too, what a machine lacks is skipped and recorded.
    const env = { ...ENVIRONMENT, CI: undefined };
    const machine = { ...machineOf(program), ...(libc === undefined ? {} : { libc }) };
    await runListed({ ...job, program, env, most, report: (result) => report(result, machine) });
  });
}
