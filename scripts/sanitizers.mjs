#!/usr/bin/env node
// The tests with the addon under AddressSanitizer (with UndefinedBehaviorSanitizer and LeakSanitizer), ThreadSanitizer and
// valgrind: they must pass, and nothing may be reported, by the processes that they start neither. Arguments select files, or
// bugs, by a part of their name. `--self-test`: bugs are planted in a copy of the addon, and each must be found.
//
// Reports are files, one a process: they are read, whatever a test does with the output and the exit code of a child.

import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { buildNative } from "./build-native.mjs";

const TIMEOUT_MS = 200_000;
const ADDON = "unix-ancillary.node";
const ASKED_BY_ADDON = /^ +#[012] .*unix-ancillary\.node/m;
const folder = resolve("build", "sanitizers");
const tests = join("build", "test");

/** What hardly uses the addon but in programs that it starts, or packs and builds: nothing to see. */
const WITHOUT_ADDON = [
  "architecture",
  "cli/cli",
  "cli/cli-exec",
  "core/cmsgdump",
  "core/codec",
  "package",
  "testing/testing",
];
const FILES = readdirSync(tests, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".test.js") && !name.startsWith("interop/"))
  .map((name) => name.replace(".test.js", ""))
  .filter((name) => !WITHOUT_ADDON.includes(name))
  .sort();

/**
 * Node is not instrumented, nor are the programs that tests start. So only those leaks count whose memory the addon asked for,
 * itself or through one function of Node-API; V8 frees nothing at process.exit(). And only those races with the addon on a
 * stack, but for a descriptor: of Node ThreadSanitizer sees the locks and not the atomics, and close(2) it misses where libuv
 * makes the system call itself, so a number used again is a race to it. (That nothing is closed twice is in the tests.)
 *
 * Addresses are not made names while a test runs, as that opens files: `named` does it here. For the same reason
 * ThreadSanitizer opens its report at the start (verbosity).
 */
const KINDS = {
  address: {
    libraries: ["libasan.so", "libubsan.so"],
    flags: ["-O1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
    env: (log) => ({
      ASAN_OPTIONS: `symbolize=0:detect_leaks=1:exitcode=0:log_path=${log}`,
      UBSAN_OPTIONS: `symbolize=0:print_stacktrace=1:log_path=${log}`,
    }),
    files: FILES,
    found: (text) =>
      text.includes("LeakSanitizer") ? text.split("\n\n").filter((one) => ASKED_BY_ADDON.test(one)) : [text],
  },
  thread: {
    libraries: ["libtsan.so"],
    flags: ["-O1", "-fsanitize=thread"],
    env: (log) => ({ TSAN_OPTIONS: `symbolize=0:verbosity=1:exitcode=0:report_signal_unsafe=0:log_path=${log}` }),
    files: ["socket/fd-reader", "system/lifecycle", "socket/waiting"],
    backends: ["uv_poll", "thread"],
    found: (text) =>
      text
        .split(/^=+$/m)
        .filter(
          (one) => one.includes("WARNING: ") && one.includes(ADDON) && !one.includes("Location is file descriptor"),
        ),
  },
  valgrind: {
    libraries: [],
    flags: ["-O1"],
    command: (log) => ["valgrind", "--leak-check=no", "--child-silent-after-fork=yes", `--log-file=${log}`],
    env: () => ({}),
    files: ["socket/fd-reader", "socket/messages", "socket/stream-interference"],
    // V8 looks at every word of the stack, those that nobody wrote among them.
    found: (text) => text.split(/^==\d+== $/m).filter((one) => one.includes("unix_ancillary::")),
  },
};

/** Planted bugs: who has to find it, in which tests, what it is, where, and what the report says. */
const BUGS = [
  {
    kind: "address",
    file: "socket/fd-reader",
    what: "a write behind the end of the request block",
    at: ["message.cc", "  e->words[kMessageFlags] = message.msg_flags;\n", "$&  e->words[kWords] = 0;\n"],
    report: /heap-buffer-overflow/,
  },
  {
    kind: "address",
    file: "socket/fd-reader",
    what: "a watcher that is used after it was freed",
    at: [
      "readiness.cc",
      "      delete ended;\n      owner->Ended();",
      "      delete ended;\n      ended->owner->Ended();",
    ],
    report: /heap-use-after-free/,
  },
  {
    kind: "address",
    file: "socket/stream-interference",
    what: "a number that overflows",
    at: [
      "message.cc",
      "  iov->iov_base = bytes.data + offset;\n",
      "  volatile int most = INT_MAX;\n  most = most + 1;\n$&",
    ],
    report: /signed integer overflow/,
  },
  {
    kind: "address",
    file: "system/lifecycle",
    what: "references that are not given back",
    at: ["addon.cc", "napi_delete_reference(e->env, reference);", "(void)reference;"],
    report: /leak of/,
  },
  {
    kind: "thread",
    backend: "thread",
    file: "socket/fd-reader",
    what: "a thread that changes watchers without the lock",
    at: [
      "readiness.cc",
      "      poll(polled.data(), polled.size(), -1);\n",
      "$&      for (auto& [id, watched] : watched_) watched.notified = watched.notified || false;\n",
    ],
    report: /data race/,
  },
  {
    kind: "thread",
    backend: "uv_poll",
    file: "system/lifecycle",
    what: "environments that end without the lock",
    at: ["addon.cc", "  std::lock_guard<std::mutex> lock(process_mutex);\n  living.erase(", "  living.erase("],
    report: /data race/,
  },
  {
    kind: "valgrind",
    file: "socket/messages",
    what: "a name with a byte that was never written",
    at: ["socket.cc", "  memset(name, 0, sizeof *name);\n", ""],
    report: /uninitialised byte/,
  },
];

let passed = 0;
let failed = 0;

function result(good, what, output) {
  console.log(`${good ? "ok  " : "FAIL"}  ${what}`);
  if (good) passed++;
  else {
    failed++;
    console.log(output);
  }
}

/** A library of the compiler's, to be loaded before all others; null: it has none. */
function runtime(name) {
  const path = spawnSync("gcc", [`-print-file-name=${name}`], { encoding: "utf8" }).stdout?.trim();
  return path?.startsWith("/") && existsSync(path) ? path : null;
}

/** Whether what a kind needs is here. A missing tool is no clean run. */
function available(kind) {
  const { libraries, command } = KINDS[kind];
  const missing = libraries.filter((name) => runtime(name) === null);
  if (command !== undefined && spawnSync(command("")[0], ["--version"]).status !== 0) missing.push(command("")[0]);
  if (missing.length === 0) return true;
  if (process.env.CI !== undefined) result(false, kind, `${missing.join(", ")} missing, and in CI nothing is skipped`);
  else console.log(`SKIPPED: ${kind}: ${missing.join(", ")} missing`);
  return false;
}

async function build(kind, name, source = "native") {
  const out = join(folder, name, ADDON);
  await buildNative({ extraFlags: ["-g", ...KINDS[kind].flags], out, strip: false, folder: source });
  return out;
}

/** A report, with names for the addresses in the addon. */
function named(report, addon) {
  return report.replace(new RegExp(`\\((?:\\S*/)?${ADDON}\\+(0x[0-9a-f]+)\\)`, "g"), (whole, address) => {
    const names = spawnSync("addr2line", ["-Cfpe", addon, address], { encoding: "utf8" }).stdout?.trim();
    return names ? `${names} ${whole}` : whole;
  });
}

let runs = 0;
/** Where any user can write: some tests go on as another one. */
const reportsFolder = mkdtempSync(join(tmpdir(), "unix-ancillary-sanitizers-"));
chmodSync(reportsFolder, 0o755);
process.on("exit", () => rmSync(reportsFolder, { recursive: true, force: true }));

/** Runs a test file; what is wrong with it, or null. */
function examine(kind, addon, file, backend) {
  const { libraries, env, command, found } = KINDS[kind];
  const reports = join(reportsFolder, `${runs++}`);
  mkdirSync(reports);
  chmodSync(reports, 0o777);
  const [program, ...args] = [...(command?.(join(reports, "%p")) ?? []), process.execPath];
  return new Promise((done) => {
    const child = spawn(program, [...args, "--expose-gc", join(tests, `${file}.test.js`)], {
      stdio: ["ignore", "pipe", "pipe"],
      timeout: TIMEOUT_MS,
      killSignal: "SIGKILL",
      env: {
        ...process.env,
        ...env(join(reports, "report")),
        ...(libraries.length > 0 ? { LD_PRELOAD: libraries.map(runtime).join(" ") } : {}),
        ...(backend === "thread" ? { UNIX_ANCILLARY_READINESS: "thread" } : {}),
        UNIX_ANCILLARY_ADDON: addon,
        NO_COLOR: "1",
      },
    });
    let output = "";
    child.stdout.on("data", (bytes) => (output += bytes));
    child.stderr.on("data", (bytes) => (output += bytes));
    child.on("close", (code, signal) => {
      const wrong = readdirSync(reports).flatMap((name) => found(readFileSync(join(reports, name), "utf8")));
      const count = (name) => Number(new RegExp(`^ {2}${name}: +(\\d+)`, "m").exec(output)?.[1] ?? 0);
      const total = count("Total");
      // uvu answers 0 for a run of nothing.
      if (code !== 0 || total === 0 || count("Passed") !== total)
        wrong.push(`${output}\n${signal ?? `exit code ${code}`}`);
      done(
        wrong.length === 0
          ? null
          : wrong
              .slice(0, 10)
              .map((one) => named(one, addon))
              .join("\n"),
      );
    });
  });
}

const isWanted = (wanted, name) => wanted.length === 0 || wanted.some((part) => name.includes(part));

/** As many at once as there are processors. */
async function inParallel(jobs) {
  const work = async () => {
    for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) await job();
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
}

async function clean(wanted) {
  const jobs = [];
  for (const kind of Object.keys(KINDS)) {
    const files = KINDS[kind].files.filter((name) => isWanted(wanted, name));
    if (files.length === 0 || !available(kind)) continue;
    const addon = await build(kind, kind);
    for (const file of files) {
      for (const backend of KINDS[kind].backends ?? [undefined]) {
        jobs.push(async () => {
          const start = Date.now();
          const wrong = await examine(kind, addon, file, backend);
          const how = backend === undefined ? "" : `, readiness by ${backend}`;
          result(wrong === null, `${kind}: ${file}${how}  ${Date.now() - start} ms`, wrong);
        });
      }
    }
  }
  await inParallel(jobs);
}

async function selfTest(wanted) {
  const jobs = [];
  for (const [i, { kind, backend, file, what, at, report }] of BUGS.entries()) {
    if (!isWanted(wanted, what) || !available(kind)) continue;
    const copy = join(folder, `planted-${i}`);
    cpSync("native", copy, { recursive: true });
    const [source, from, to] = at;
    const code = readFileSync(join(copy, source), "utf8");
    if (code.split(from).length !== 2) throw new Error(`${source} has not exactly one place for: ${what}`);
    writeFileSync(join(copy, source), code.replace(from, to));
    const addon = await build(kind, `planted-${i}`, copy);
    jobs.push(async () => {
      const wrong = await examine(kind, addon, file, backend);
      result(wrong !== null && report.test(wrong), `${kind} finds ${what}`, wrong ?? "nothing was reported");
    });
  }
  await inParallel(jobs);
}

rmSync(folder, { recursive: true, force: true });
const wanted = process.argv.slice(2).filter((argument) => argument !== "--self-test");
if (process.argv.includes("--self-test")) await selfTest(wanted);
else await clean(wanted);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
