#!/usr/bin/env node
// The test suite on older and newer kernels of Linux, `npm run test:kernels [-- VERSION ...]`: Debian's kernels for x86-64, with the Node
// that runs this script. They run as user-mode Linux, which is a program and needs no emulation. With `--system` they run in an emulated
// machine (qemu-system).
//
// `--only PART`: the files with this in their path, repeatable. `--sample`: a few files on one kernel. `--record`: the results go into
// docs/platforms.json and the table made of it. What is missing is a failure, or skipped with `--skip-missing`.

import { attempt, chosen, laneOptions, suiteInMachine, suiteInUml } from "./machines/run.mjs";
import { KERNELS, PC } from "./machines/targets.mjs";

/** What `--sample` runs. */
const SAMPLE = { kernels: ["6.1"], files: ["fd/owned-fd", "message/ancillary", "socket/pass-fds"] };

const { options, tally } = laneOptions({ system: { type: "boolean", default: false } });
const names =
  options.positionals.length === 0 && options.sample
    ? SAMPLE.kernels
    : chosen(Object.keys(KERNELS), options.positionals, "kernel");
const only = options.sample && options.only.length === 0 ? SAMPLE.files : options.only;
for (const name of names) {
  const { uml, suite, kernel } = KERNELS[name];
  const user = !options.system;
  const how = user ? "user-mode Linux" : "the machine emulated";
  const failures = [user ? "user-mode Linux" : "machine", `Linux ${name}`];
  const recorded = options.record ? { addon: "linux-x64", how } : undefined;
  const target = { label: `Linux ${name}`.padEnd(12), failures, only, recorded };
  const what = { processor: "x64", node: process.execPath };
  await attempt(tally, `Linux ${name}`, () =>
    user
      ? suiteInUml(tally, target, PC, { ...what, uml })
      : suiteInMachine(tally, target, PC, { ...what, kernel, kernelSuite: suite }),
  );
}
tally.end();
