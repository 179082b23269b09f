#!/usr/bin/env node
// Tests with readiness by a thread that has poll(2) and not epoll(7), as on systems without it. Arguments as those of scripts/test.mjs.

import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { buildNative } from "./build-native.mjs";

const out = resolve("build", "poll", "unix-ancillary.node");
await buildNative({ extraFlags: ["-DUNIX_ANCILLARY_POLL"], out });
const env = { ...process.env, UNIX_ANCILLARY_ADDON: out, UNIX_ANCILLARY_READINESS: "thread" };
const { status } = spawnSync(process.execPath, ["scripts/test.mjs", ...process.argv.slice(2)], {
  stdio: "inherit",
  env,
});
process.exitCode = status ?? 1;
