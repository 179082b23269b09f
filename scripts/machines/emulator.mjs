// The emulator of a machine, from Debian's packages, whatever this machine has: with qemu 7.2 of Debian 12, Node 24 on s390x is ended by
// SIGILL in one of a few files of tests (2026-12).

import { join } from "node:path";
import { Suite } from "./debian.mjs";

/** Debian's packages of the emulators. */
const EMULATORS = {
  "qemu-system-x86_64": "qemu-system-x86",
  "qemu-system-aarch64": "qemu-system-arm",
  "qemu-system-arm": "qemu-system-arm",
  "qemu-system-s390x": "qemu-system-misc",
  "qemu-system-riscv64": "qemu-system-misc",
  "qemu-system-ppc64": "qemu-system-ppc",
};

/** What starts an emulator: a program and its arguments. It has the C library of its suite, which may be newer than this machine's. */
export function emulator(name) {
  const folder = new Suite("trixie", "amd64").unpacked(join("emulators", EMULATORS[name]), [EMULATORS[name]]);
  const libraries = join(folder, "usr", "lib", "x86_64-linux-gnu");
  return [
    ...["env", `QEMU_MODULE_DIR=${join(libraries, "qemu")}`],
    ...[join(libraries, "ld-linux-x86-64.so.2"), "--library-path", libraries, join(folder, "usr", "bin", name)],
    ...["-L", join(folder, "usr", "share", "qemu")],
  ];
}
