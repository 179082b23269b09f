#!/usr/bin/env node
// core.wasm under hosts without JavaScript: wasm2c makes C of it, and the programs of examples/core/, in C, Python and Rust, decode control
// buffers of every ABI, canonical and hostile ones. What they print must agree with `inspect` and with the verdict of the codec.
//
// A missing tool is a failure, or with `--skip-missing` is skipped.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { abis, Codec, inspect } from "unix-ancillary/core";
import { controlBuffers } from "unix-ancillary/testing";
import { hasTool, readOptions, run, SKIP_MISSING, Tally } from "./lane.mjs";
import { runtimeFolder } from "./wasm2c.mjs";

const BUFFERS = 40;
const OUTCOMES = ["ok", "ancillary-truncated", "malformed", "data-truncated", "fd-count"];
const options = readOptions(SKIP_MISSING);
const tally = new Tally(options);
const folder = resolve("build", "hosts");
const sources = resolve("examples", "core");
const shipped = resolve("dist", "core");

/** What the programs must print, from what `inspect` prints: without bytes and meanings, but with descriptors, and numbers for names. */
function expected(abi, control) {
  const codec = new Codec(abi);
  const shown = inspect(abi, control)
    .split("\n")
    .filter((line) => /^\S|^ {2}rights:/.test(line));
  const { messages } = codec.decode(control);
  const lines = shown.map((line) => {
    const at = Number(/^@(\d+) cmsg_len/.exec(line)?.[1] ?? -1);
    const message = messages.find(({ offset }) => offset === at);
    return message === undefined
      ? line
      : line.replace(/cmsg_level \S+, cmsg_type \S+,/, `cmsg_level ${message.level}, cmsg_type ${message.type},`);
  });
  const { keep, close, pidfd, outcome } = codec.verdict({ control, flags: 0, maxFds: 2 });
  const list = (fds) => (fds.length === 0 ? "nothing" : fds.join(" "));
  // The table has what is to be closed, and slots that hold no descriptor.
  return { lines, verdict: `verdict ${OUTCOMES.indexOf(outcome)}: keep ${list(keep)}, close ${list(close)}`, pidfd };
}

function* inputs() {
  for (const abi of Object.values(abis)) {
    let left = BUFFERS;
    for (const { control } of controlBuffers(abi, { seed: 11 })) {
      if (control.length > 0) yield { abi, control };
      if (--left === 0) break;
    }
  }
}

/** Compares what a program prints for all inputs. */
function compare(what, output, all) {
  const blocks = output.split(/(?<=^verdict .*\n)/m);
  let wrong = "";
  for (const [i, { abi, control }] of all.entries()) {
    const { lines, verdict } = expected(abi, control);
    const got = (blocks[i] ?? "").trimEnd().split("\n");
    const last = got.pop();
    const [given, wanted] = [last, verdict].map((line) => (line ?? "").replace(/-\d+ ?/g, "").trim());
    if (got.join("\n") === lines.join("\n") && given.replace(/close$/, "close nothing") === wanted) continue;
    wrong = `${abi.name} ${Buffer.from(control).toString("hex")}\nexpected:\n${lines.join("\n")}\n${verdict}\ngot:\n${blocks[i]}`;
    break;
  }
  tally.result(
    wrong === "" && blocks.length >= all.length,
    `${what}: ${all.length} buffers of ${Object.keys(abis).length} ABIs`,
    wrong,
  );
}

const absent = ["wasm2c", "gcc"].filter((name) => !hasTool(name));
if (absent.length > 0) {
  tally.missing("core.wasm in C, Python and Rust", `${absent.join(", ")} missing; on Debian: apt-get install wabt gcc`);
  tally.end();
}

// The header by itself, in the oldest languages that it is for.
for (const [compiler, standard, extension] of [
  ["gcc", "c99", "c"],
  ["g++", "c++11", "cc"],
]) {
  const file = join(folder, `header.${extension}`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    file,
    '#define UA_WITH_ABIS\n#include "core.h"\nint main() { return ua_abis[UA_ABIS - 1].layout[0] == 0; }\n',
  );
  if (!hasTool(compiler)) {
    tally.missing(`core.h in ${standard}`, `${compiler} is missing`);
    continue;
  }
  const flags = [`-std=${standard}`, "-pedantic", "-Wall", "-Wextra", "-Werror", "-I", shipped];
  const { code, output } = await run(compiler, [...flags, file, "-o", join(folder, "header")]);
  tally.result(code === 0 && (await run(join(folder, "header"), [])).code === 0, `core.h in ${standard}`, output);
}

const runtime = runtimeFolder();
rmSync(join(folder, "core-wasm.c"), { force: true });
execFileSync("wasm2c", [join(shipped, "core.wasm"), "-o", join(folder, "core-wasm.c")]);
const old = /Z_core_instantiate/.test(readFileSync(join(folder, "core-wasm.h"), "utf8"));
const generated = [
  join(folder, "core-wasm.c"),
  ...["wasm-rt-impl.c", "wasm-rt-mem-impl.c"].map((name) => join(runtime, name)),
];
const common = [
  "-O2",
  ...(old ? ["-DOLD_WASM2C"] : []),
  ...[shipped, folder, runtime].flatMap((path) => ["-I", path]),
  join(sources, "host.c"),
  ...generated.filter((path) => existsSync(path)),
  "-lm",
];
const program = join(folder, "decode");
const library = join(folder, "libcore.so");
const built = await run("gcc", [join(sources, "decode.c"), ...common, "-o", program]);
const shared = await run("gcc", ["-shared", "-fPIC", ...common, "-o", library]);
tally.result(built.code === 0 && shared.code === 0, "examples/core compiles", built.output + shared.output);

const all = [...inputs()];
const input = join(folder, "input");
const lines = (list) =>
  list.map(({ abi, control }) => `${abi.name} ${Buffer.from(control).toString("hex")}\n`).join("");
writeFileSync(input, lines(all));
/** Runs a program on a file of inputs, with a bound of its own, as the output is large. */
const outputOf = (command, args, file) =>
  execFileSync(command, args, { input: readFileSync(file), encoding: "utf8", maxBuffer: 1 << 28, timeout: 120_000 });

const programs = [["C", program, []]];
if (hasTool("python3"))
  programs.push(["Python", "python3", [join(sources, "decode.py"), library, join(shipped, "abis.json")]]);
else tally.missing("Python", "python3 is missing");
if (hasTool("rustc")) {
  const rust = join(folder, "decode-rust");
  const linked = ["-L", folder, "-l", "core", "-C", `link-arg=-Wl,-rpath,${folder}`];
  const made = await run("rustc", ["--edition", "2021", "-O", join(sources, "decode.rs"), ...linked, "-o", rust]);
  tally.result(made.code === 0, "examples/core/decode.rs compiles", made.output);
  if (made.code === 0) programs.push(["Rust", rust, []]);
} else tally.missing("Rust", "rustc is missing; on Debian: apt-get install rustc");
for (const [what, command, args] of programs) compare(what, outputOf(command, args, input), all);

// The buffer of a Mac that the documents show.
const [, shown] = /```sh\n([\s\S]*?)```/.exec(readFileSync("docs/core-abi.md", "utf8").split("## A first program")[1]);
const [, bytes, printed] = /^\$ echo (\S+ \S+) \| .*\n([\s\S]*)$/m.exec(shown);
writeFileSync(input, `${bytes}\n`);
for (const [what, command, args] of programs) {
  const output = outputOf(command, args, input);
  tally.result(output.trim() === printed.trim(), `${what}: a buffer of macOS, as docs/core-abi.md shows it`, output);
}
tally.end();
