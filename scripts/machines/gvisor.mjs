// gVisor, built from Debian's packages of its source and of Go. `runsc` makes a sandbox for a program, whose system calls it answers itself.

import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { run } from "../lane.mjs";
import { FOLDER, Missing, Suite } from "./debian.mjs";

/** Of Debian 12. Later ones have no Go that is so old, and gVisor of the same month. */
const PACKAGES = ["golang-1.19-go", "golang-gvisor-gvisor-dev"];
const SCRIPT = join("scripts", "machines", "gvisor-vdso.lds");

/** Debian's package has an empty file in place of the vDSO, which is built first. */
async function buildVdso(source) {
  const flags = [
    ...[
      "-O2",
      "-std=c++17",
      "-fPIC",
      "-fno-exceptions",
      "-fno-rtti",
      "-fno-stack-protector",
      "-fno-asynchronous-unwind-tables",
    ],
    ...["-nostdlib", "-shared", "-fuse-ld=bfd", "-Wl,-Bsymbolic,--hash-style=sysv,--build-id=none,-z,noexecstack"],
    ...["-Wl,-soname,linux-vdso.so.1", `-Wl,-T,${SCRIPT}`, `-I${source}`],
  ];
  const files = ["vdso.cc", "vdso_time.cc"].map((name) => join(source, "vdso", name));
  const out = join(source, "pkg", "sentry", "loader", "vdsodata", "vdso.so");
  return run("g++", [...flags, ...files, "-o", out]);
}

/** The path of `runsc`, which is built once: it takes about a minute of a processor. */
export async function runsc() {
  const folder = new Suite("bookworm", "amd64").unpacked("gvisor", PACKAGES);
  const share = join(folder, "usr", "share", "gocode");
  const source = join(share, "src", "gvisor.dev", "gvisor");
  const out = join(FOLDER, "gvisor", "runsc");
  if (existsSync(out)) return out;
  const go = join(folder, "usr", "lib", "go-1.19");
  const env = {
    ...process.env,
    ...{ CGO_ENABLED: "0", GO111MODULE: "off", GOROOT: go, GOPATH: share, GOCACHE: join(FOLDER, "gvisor", "cache") },
  };
  mkdirSync(env.GOCACHE, { recursive: true });
  for (const step of [
    () => buildVdso(source),
    () =>
      run(join(go, "bin", "go"), ["build", "-trimpath", "-o", out, "gvisor.dev/gvisor/runsc"], { env, cwd: source }),
  ]) {
    const { code, output, how } = await step();
    if (code !== 0) throw new Missing(`gVisor cannot be built (${how}): ${output.slice(-1000)}`);
  }
  return out;
}
