#!/usr/bin/env node
// The test suite in gVisor, `npm run test:gvisor`: another implementation of Linux's system calls, in a program. `runsc` is built from
// Debian's packages; it needs root, but no privileges beyond that: its platform is ptrace.
//
// `--only PART`: the files with this in their path, repeatable. `--record`: the results go into docs/platforms.json and the table made of
// it. What is missing is a failure, or skipped with `--skip-missing`.

import { attempt, laneOptions, suiteInGvisor } from "./machines/run.mjs";

const { options, tally } = laneOptions();
const recorded = options.record ? { addon: "linux-x64", how: "gVisor" } : undefined;
const target = { label: "gVisor", failures: ["gVisor"], only: options.only, recorded };
await attempt(tally, "gVisor", () => suiteInGvisor(tally, target));
tally.end();
