#!/usr/bin/env node
// The test suite with the addon of each other processor, `npm run test:emulated [-- PROCESSOR ...]`.
//
// By default on a real kernel of the processor, in an emulated machine (qemu-system): Debian's kernel, and a root file system of
// Debian's packages with its Node. `--user`: the program alone is emulated (qemu-user), on this kernel; it is quicker, and its
// translation of control messages is wrong where they are truncated. x86 of 32 bits runs on this kernel without emulation.
// `musl` is no processor: the file for x86-64 with musl as the C library.
//
// `--only PART`: the files with this in their path, repeatable. `--sample`: a few files, emulated as programs. `--record`: the results go
// into docs/platforms.json and the table made of it. What is missing is a failure, or skipped with `--skip-missing`.

import { availableParallelism } from "node:os";
import { join } from "node:path";
import { hasTool } from "./lane.mjs";
import { Missing } from "./machines/debian.mjs";
import { onMusl } from "./machines/musl.mjs";
import { attempt, chosen, laneOptions, rootOf, suiteHere, suiteInMachine, suiteInRoot } from "./machines/run.mjs";
import { ALIASES, PROCESSORS } from "./machines/targets.mjs";

/** What `--sample` runs. */
const SAMPLE = { processors: ["s390x", "ia32"], files: ["fd/owned-fd", "message/ancillary", "socket/pass-fds"] };

const { options, tally } = laneOptions({ user: { type: "boolean", default: false } });
const wanted = options.positionals.map((name) => ALIASES[name] ?? name);
const names =
  wanted.length === 0 && options.sample
    ? SAMPLE.processors
    : chosen([...Object.keys(PROCESSORS), "musl"], wanted, "processor");
const only = options.sample && options.only.length === 0 ? SAMPLE.files : options.only;

/** Processors with the layout of x86-64, and its numbers where the programs of test/testing/kernel use them. */
const LIKE_X86_64 = ["arm64", "ppc64", "riscv64"];

/** The names of the lists of failures of a processor and its Node. */
const listsOf = (name) => [
  ...(LIKE_X86_64.includes(name) ? [] : ["not like x86-64"]),
  ...(PROCESSORS[name].libuv === undefined ? [] : [`libuv ${PROCESSORS[name].libuv}`]),
];

async function natively(name, label) {
  const recorded = options.record ? { addon: `linux-${name}`, how: "the processor itself" } : undefined;
  const target = { label, failures: [name, ...listsOf(name)], only, recorded };
  await suiteInRoot(tally, target, PROCESSORS[name], { name, most: availableParallelism() });
}

async function withMusl(name, label) {
  const { command, libc } = await onMusl(process.execPath);
  const recorded = options.record ? { addon: "linux-x64", how: "the processor itself" } : undefined;
  await suiteHere(tally, { label, failures: [name], only, recorded }, command, { processor: "x64", libc });
}

async function asProgram(name, label) {
  const { user, ...processor } = PROCESSORS[name];
  if (!hasTool(user)) throw new Missing(`${user} (Debian's qemu-user)`);
  const root = rootOf(processor, true);
  const recorded = options.record ? { addon: `linux-${name}`, how: "the program emulated" } : undefined;
  const target = { label, failures: ["user", ...listsOf(name)], only, recorded };
  await suiteHere(tally, target, [user, "-L", root, join(root, "usr", "bin", "node")], { processor: name });
}

async function asMachine(name, label) {
  const { kernel, kernelSuite, ...machine } = PROCESSORS[name];
  const recorded = options.record ? { addon: `linux-${name}`, how: "the machine emulated" } : undefined;
  const target = { label, failures: ["machine", ...listsOf(name)], only, recorded };
  await suiteInMachine(tally, target, machine, { processor: name, kernel, kernelSuite });
}

for (const name of names) {
  const way =
    name === "musl"
      ? withMusl
      : PROCESSORS[name].system === undefined
        ? natively
        : options.user || options.sample
          ? asProgram
          : asMachine;
  await attempt(tally, name, () => way(name, name.padEnd(8)));
}
tally.end();
