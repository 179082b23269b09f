/** The folder of `prebuilds/` for this machine, and its C library. */

import { fs } from "./builtins.ts";

let musl: boolean | undefined;

/** Whether this process runs on musl. */
export function isMusl(): boolean {
  musl ??= askMusl();
  return musl;
}

function askMusl(): boolean {
  try {
    // musl's loader is among the mapped files; the process report would take milliseconds.
    return /\/ld-musl-/.test(fs.readFileSync("/proc/self/maps", "utf8"));
  } catch {
    const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
    return report?.header !== undefined && report.header.glibcVersionRuntime === undefined;
  }
}

/** `linux-x64`, `darwin-arm64` ...: the folder of `prebuilds/` with this machine's addon. It runs with every C library of Linux. */
export function target(): string {
  return `${process.platform}-${process.arch}`;
}
