// Programs with Debian's musl as their C library: Node's build for glibc, and Bun's for musl.

import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { hasTool, run } from "../lane.mjs";
import { FOLDER, Missing } from "./debian.mjs";

const SHIM = join("scripts", "machines", "glibc-on-musl.c");

/** Returns the command that starts a program, and the version of musl. */
export async function onMusl(program) {
  const musl = "/usr/lib/x86_64-linux-musl/libc.so";
  if (!hasTool("musl-gcc") || !existsSync(musl)) throw new Missing("Debian's musl-tools");
  const folder = resolve(FOLDER, "musl");
  mkdirSync(folder, { recursive: true });
  const loader = join(folder, "ld-musl-x86_64.so.1");
  copyFileSync(musl, loader);
  for (const name of ["libstdc++.so.6", "libgcc_s.so.1"]) {
    const path = execFileSync("gcc", [`-print-file-name=${name}`], { encoding: "utf8" }).trim();
    copyFileSync(path, join(folder, name));
  }
  // Node, and Debian's C++ library, need glibc's loader by this name. musl takes the largest stack that a file asks for as that of its threads.
  const shim = join(folder, "ld-linux-x86-64.so.2");
  const flags = ["-shared", "-fPIC", "-O1", "-w", "-Wl,-z,stack-size=8388608", "-o", shim, SHIM];
  const { code, output } = await run("musl-gcc", flags);
  if (code !== 0) throw new Error(output);
  const version = /^Version (.*)$/m.exec(spawnSync(loader, { encoding: "utf8" }).stderr)[1];
  return { command: [loader, "--library-path", folder, program], libc: `musl ${version}` };
}
