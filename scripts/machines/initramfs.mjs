// The first file system of a kernel of Debian: busybox, the modules that the disk needs, and a script that mounts the disk.

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

/**
 * Only what the kernel has as a module is loaded. ext4 asks for crc32c by a name that only modprobe(8) knows,
 * and a kernel does not load unix_diag without it.
 */
const WANTED = ["virtio_pci", "virtio_mmio", "virtio_ccw", "virtio_blk", "crc32c_generic", "ext4", "unix_diag"];

const INIT = `#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev
for module in $($b cat /modules/order); do $b insmod /modules/$module; done
turns=0
until [ -b /dev/vda ] || [ $turns = 100 ]; do $b sleep 0.1; turns=$((turns + 1)); done
$b mount -t ext4 /dev/vda /disk || echo "the disk cannot be mounted"
$b umount /dev
exec $b switch_root /disk /guest.sh
`;

function decompressed(path) {
  const program = path.endsWith(".xz") ? "xz" : path.endsWith(".zst") ? "zstd" : "cat";
  return execFileSync(program, program === "cat" ? [path] : ["-dc", path], { maxBuffer: 1 << 28 });
}

/** The modules of a kernel that are needed, those that others need first: pairs of a name and the bytes. */
function modulesOf(folder) {
  const paths = new Map();
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    const module = /([^/]+)\.ko(\.xz|\.zst)?$/.exec(name);
    if (module !== null) paths.set(module[1].replaceAll("-", "_"), join(folder, name));
  }
  const found = new Map();
  const visit = (name) => {
    if (found.has(name) || !paths.has(name)) return;
    const bytes = decompressed(paths.get(name));
    // The section .modinfo has strings like `depends=virtio,virtio_ring`, each ended by a zero.
    const text = bytes.toString("latin1");
    const soft = /\0softdep=pre: ([^\0]*)/.exec(text)?.[1].split(/\s+(?:post:.*)?/) ?? [];
    const hard = /\0depends=([^\0]*)/.exec(text)?.[1].split(",") ?? [];
    found.set(name, null);
    for (const other of [...soft, ...hard]) visit(other.replaceAll("-", "_"));
    // A Map keeps the order of insertion.
    found.delete(name);
    found.set(name, bytes);
  };
  for (const name of WANTED) visit(name);
  return [...found];
}

/** An archive as cpio(1) makes it with `-H newc`, which the kernel reads (Documentation/driver-api/early-userspace/buffer-format.rst). */
function cpio(entries) {
  const chunks = [];
  const add = (name, mode, bytes, number) => {
    const fields = [number, mode, 0, 0, 1, 0, bytes.length, 0, 0, 0, 0, name.length + 1, 0];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}${name}\0`;
    for (const part of [Buffer.from(header, "latin1"), bytes])
      chunks.push(part, Buffer.alloc((4 - (part.length % 4)) % 4));
  };
  for (const [index, [name, mode, bytes]] of entries.entries()) add(name, mode, bytes, index + 1);
  add("TRAILER!!!", 0, Buffer.alloc(0), 0);
  return Buffer.concat(chunks);
}

/**
 * Makes it.
 *
 * @param root the root file system that has busybox
 * @param kernel the unpacked package of the kernel
 * @returns the compressed archive
 */
export function initramfs(root, kernel) {
  const [version] = readdirSync(join(kernel, "lib", "modules"));
  const modules = modulesOf(join(kernel, "lib", "modules", version));
  const folder = (name) => [name, 0o040755, Buffer.alloc(0)];
  return gzipSync(
    cpio([
      ...["bin", "dev", "disk", "modules"].map(folder),
      ["init", 0o100755, Buffer.from(INIT)],
      ["bin/busybox", 0o100755, readFileSync(join(root, "bin", "busybox"))],
      ["modules/order", 0o100644, Buffer.from(modules.map(([name]) => `${name}\n`).join(""))],
      ...modules.map(([name, bytes]) => [`modules/${name}`, 0o100644, bytes]),
    ]),
    { level: 1 },
  );
}
