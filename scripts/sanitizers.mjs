#!/usr/bin/env node
// The tests with the addon under AddressSanitizer (with UndefinedBehaviorSanitizer and LeakSanitizer), ThreadSanitizer and
// valgrind. They must pass, and there must be no report from them or from the processes that they start. Arguments select files,
// or bugs, by a part of their name. `--self-test`: bugs are planted in a copy of the addon, and each must be found.
//
// Each process writes its report to a file of its own, as tests may use the output and the exit code of a child themselves.

import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { buildNative } from "./build-native.mjs";
import { hasTool, inParallel, readOptions, run, SKIP_MISSING, select, Tally, testCounts, testFiles } from "./lane.mjs";
import { plant } from "./planted-bugs.mjs";

const TIMEOUT_MS = 300_000;
const ADDON = "unix-ancillary.node";
const ASKED_BY_ADDON = /^ +#[012] .*unix-ancillary\.node/m;
const ACCESSED_BY_ADDON = /^ +#[01] .*unix-ancillary\.node/m;
const folder = resolve("build", "sanitizers");
const tests = join("build", "test");

/** Test files that use the addon only in programs that they start, or not at all. */
const WITHOUT_ADDON = [
  "architecture",
  "cli/cli",
  "cli/cli-exec",
  "cli/input",
  "cli/parts",
  "core/cmsgdump",
  "core/codec",
  "core/hosts",
  "doc-examples",
  "package",
  "scripts",
  "socket/costs",
  "testing/testing",
];
const FILES = testFiles().filter((name) => !WITHOUT_ADDON.includes(name));

/**
 * Node is not instrumented, nor are the programs that tests start. So a leak counts only when the addon allocated the memory,
 * itself or through one function of Node-API: V8 frees nothing at process.exit(). A race counts only when the addon makes one of
 * the accesses, itself or through one function: V8's threads share memory with the JavaScript that the addon calls, by atomics.
 * It never counts when it is about a descriptor: ThreadSanitizer sees the locks of Node, but not its atomics; it misses
 * close(2) where libuv makes the system call directly, so that a number used again looks like a race. (The tests themselves check
 * that nothing is closed twice.)
 *
 * Addresses are not resolved to names while a test runs, as that opens files: `named` does it afterwards. For the same reason
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
      text.includes("LeakSanitizer") ? text.split("\n\n").filter((leak) => ASKED_BY_ADDON.test(leak)) : [text],
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
          (race) =>
            race.includes("WARNING: ") && ACCESSED_BY_ADDON.test(race) && !race.includes("Location is file descriptor"),
        ),
  },
  valgrind: {
    libraries: [],
    flags: ["-O1"],
    command: (log) => ["valgrind", "--leak-check=no", "--child-silent-after-fork=yes", `--log-file=${log}`],
    env: () => ({}),
    files: ["socket/fd-reader", "socket/messages", "socket/stream-interference"],
    // V8 reads every word of the stack, also those that were never written.
    found: (text) => text.split(/^==\d+== $/m).filter((error) => error.includes("unix_ancillary::")),
  },
};

/**
 * Planted bugs: the kind of run that has to find it, in which test file, what it is, what the report says, and `at`: the source
 * file, what is replaced in it (white space does not matter), and by what.
 */
const BUGS = [
  {
    kind: "address",
    file: "socket/fd-reader",
    what: "a write behind the end of the request block",
    at: ["message.cc", "e->words[kMessageFlags] = message.msg_flags;", "$& e->words[kWords] = 0;"],
    report: /heap-buffer-overflow/,
  },
  {
    kind: "address",
    file: "socket/fd-reader",
    what: "a watcher that is used after it was freed",
    at: ["readiness.cc", "delete ended; owner->Ended();", "delete ended; ended->owner->Ended();"],
    report: /heap-use-after-free/,
  },
  {
    kind: "address",
    file: "socket/stream-interference",
    what: "a number that overflows",
    at: ["message.cc", "iov->iov_base = bytes.data + offset;", "volatile int most = INT_MAX; most = most + 1; $&"],
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
    what: "a thread that looks at events without the lock",
    at: ["thread-readiness.cc", "poller_.Wait(&ready);", "$& if (ready_.size() > 1000) ready_.clear();"],
    report: /data race/,
  },
  {
    kind: "thread",
    backend: "uv_poll",
    file: "system/lifecycle",
    what: "environments that end without the lock",
    at: ["addon.cc", "const Lock lock(&process_mutex); RemoveLiving(", "RemoveLiving("],
    report: /data race/,
  },
  {
    kind: "valgrind",
    file: "socket/messages",
    what: "a name with a byte that was never written",
    at: ["environment.h", "sockaddr_un address_ = {};", "sockaddr_un address_;"],
    report: /uninitialised byte/,
  },
];

const options = readOptions(
  { ...SKIP_MISSING, "self-test": { type: "boolean", default: false } },
  { allowPositionals: true },
);
const wanted = options.positionals;
const tally = new Tally(options);

/** A library of the compiler, to be loaded before all others; null: it has none. */
function runtime(name) {
  const path = spawnSync("gcc", [`-print-file-name=${name}`], { encoding: "utf8" }).stdout?.trim();
  return path?.startsWith("/") && existsSync(path) ? path : null;
}

/** Whether the tools of a kind of run are here. */
function available(kind) {
  const { libraries, command } = KINDS[kind];
  const missing = libraries.filter((name) => runtime(name) === null);
  if (command !== undefined && !hasTool(command("")[0])) missing.push(command("")[0]);
  if (missing.length > 0) tally.missing(kind, `there is no ${missing.join(" and no ")}`);
  return missing.length === 0;
}

async function build(kind, name, source = "native") {
  const out = join(folder, name, ADDON);
  await buildNative({ extraFlags: ["-g", ...KINDS[kind].flags], out, strip: false, folder: source });
  return out;
}

/** A report, the addresses in the addon with their names. */
function named(report, addon) {
  return report.replace(new RegExp(`\\((?:\\S*/)?${ADDON}\\+(0x[0-9a-f]+)\\)`, "g"), (whole, address) => {
    const names = spawnSync("addr2line", ["-Cfpe", addon, address], { encoding: "utf8" }).stdout?.trim();
    return names ? `${names} ${whole}` : whole;
  });
}

let runs = 0;
/** Any user can write there: some tests change to another user. */
const reportsFolder = mkdtempSync(join(tmpdir(), "unix-ancillary-sanitizers-"));
chmodSync(reportsFolder, 0o755);
process.on("exit", () => rmSync(reportsFolder, { recursive: true, force: true }));

/** Runs a test file. Returns the reports and failures; null: there are none. */
async function examine(kind, addon, file, backend) {
  const { libraries, env, command, found } = KINDS[kind];
  const reports = join(reportsFolder, `${runs++}`);
  mkdirSync(reports);
  chmodSync(reports, 0o777);
  const [program, ...args] = [...(command?.(join(reports, "%p")) ?? []), process.execPath];
  const { code, output, how } = await run(program, [...args, "--expose-gc", join(tests, `${file}.test.js`)], {
    timeout: TIMEOUT_MS,
    env: {
      ...process.env,
      ...env(join(reports, "report")),
      ...(libraries.length > 0 ? { LD_PRELOAD: libraries.map(runtime).join(" ") } : {}),
      ...(backend === "thread" ? { UNIX_ANCILLARY_READINESS: "thread" } : {}),
      UNIX_ANCILLARY_ADDON: addon,
      NO_COLOR: "1",
    },
  });
  const wrong = readdirSync(reports).flatMap((name) => found(readFileSync(join(reports, name), "utf8")));
  const { total, passed } = testCounts(output);
  // uvu exits with 0 when it has run no test.
  if (code !== 0 || total === 0 || passed !== total) wrong.push(`${output}\n${how}`);
  const reported = wrong.slice(0, 10).map((report) => named(report, addon));
  return reported.length === 0 ? null : reported.join("\n");
}

async function clean() {
  const selected = new Set(select(FILES, wanted, "test file"));
  const jobs = [];
  for (const kind of Object.keys(KINDS)) {
    const files = KINDS[kind].files.filter((name) => selected.has(name));
    if (files.length === 0 || !available(kind)) continue;
    const addon = await build(kind, kind);
    for (const file of files) {
      for (const backend of KINDS[kind].backends ?? [undefined]) {
        jobs.push(async () => {
          const start = Date.now();
          const wrong = await examine(kind, addon, file, backend);
          const how = backend === undefined ? "" : `, readiness by ${backend}`;
          tally.result(wrong === null, `${kind}: ${file}${how}  ${Date.now() - start} ms`, wrong ?? "");
        });
      }
    }
  }
  await inParallel(jobs);
}

async function selfTest() {
  const names = BUGS.map(({ what }) => what);
  const selected = new Set(select(names, wanted, "planted bug"));
  const jobs = [];
  for (const [i, { kind, backend, file, what, at, report }] of BUGS.entries()) {
    if (!selected.has(what) || !available(kind)) continue;
    const copy = join(folder, `planted-${i}`);
    cpSync("native", copy, { recursive: true });
    const [source, from, to] = at;
    plant(copy, [source], from, to);
    const addon = await build(kind, `planted-${i}`, copy);
    jobs.push(async () => {
      const wrong = await examine(kind, addon, file, backend);
      tally.result(wrong !== null && report.test(wrong), `${kind} finds ${what}`, wrong ?? "nothing was reported");
    });
  }
  await inParallel(jobs);
}

rmSync(folder, { recursive: true, force: true });
if (options["self-test"]) await selfTest();
else await clean();
tally.end();
