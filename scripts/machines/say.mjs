// Prints what this machine is, as JSON: also run by the Node of another processor.

import { arch, endianness, release } from "node:os";

export const machine = {
  kernel: release(),
  processor: arch(),
  endianness: endianness(),
  libc: `glibc ${process.report.getReport().header.glibcVersionRuntime}`,
  runtime: `Node ${process.versions.node}`,
};
if (process.argv[1].endsWith("say.mjs")) console.log(JSON.stringify(machine));
