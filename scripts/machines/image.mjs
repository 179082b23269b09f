// The disk of a machine: the root file system of Debian's packages, with the built project.

import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Missing } from "./debian.mjs";

/** What the tests read. */
const PROJECT = [
  ...["package.json", "README.md", "dist", "src", "scripts", "assembly", "asconfig.json", "docs", "examples", "test"],
  ...["core", "lib", "src", "test", "types", "examples"].map((name) => `build/${name}`),
  ...["uvu", "dequal", "diff", "kleur", "mri", "sade", "fast-check", "pure-rand", "@bjorn3"].map(
    (name) => `node_modules/${name}`,
  ),
];

const FILES = {
  "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/sh\n",
  "etc/group": "root:x:0:\nnogroup:x:65534:\n",
  "etc/hosts": "127.0.0.1 localhost\n",
};

/** Starts the tests as the first process. What it prints goes to the console, which the lane reads. */
const GUEST = `#!/bin/busybox sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
$b mkdir -p /dev/pts /dev/shm
$b mount -t devpts -o ptmxmode=666 devpts /dev/pts
$b mount -t tmpfs -o mode=1777 tmpfs /dev/shm
$b mount -t tmpfs -o mode=1777 tmpfs /tmp
[ -e /dev/fd ] || $b ln -s /proc/self/fd /dev/fd
$b ifconfig lo 127.0.0.1 up
echo 1 >/proc/sys/vm/overcommit_memory
ulimit -n 65536
cd /project
/usr/bin/node scripts/machines/guest.mjs
echo "the guest has ended"
$b sync
$b poweroff -f
`;

/** Copies the project below `folder`, with the addon of `processor` and no other. */
function copyProject(folder, processor) {
  rmSync(folder, { recursive: true, force: true });
  for (const path of PROJECT) {
    if (existsSync(path)) cpSync(path, join(folder, path), { recursive: true, verbatimSymlinks: true });
  }
  const addon = join("prebuilds", `linux-${processor}`, "unix-ancillary.node");
  if (!existsSync(addon)) throw new Missing(`${addon} (npm run prebuilds)`);
  mkdirSync(dirname(join(folder, addon)), { recursive: true });
  copyFileSync(addon, join(folder, addon));
}

/**
 * Completes a root file system: with the project, what scripts of Debian's packages make else, and what starts the tests.
 *
 * @param root its folder
 * @param options `processor`: whose addon it gets; `job`: what guest.mjs reads; `node`: the program that is copied as Node, if the root
 *   file system has none
 */
export function completeRoot(root, { processor, job, node }) {
  copyProject(join(root, "project"), processor);
  writeFileSync(join(root, "project", "job.json"), JSON.stringify(job));
  for (const [path, text] of Object.entries(FILES)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  for (const name of ["proc", "sys", "dev", "tmp", "root", "run", "mnt"])
    mkdirSync(join(root, name), { recursive: true });
  writeFileSync(join(root, "guest.sh"), GUEST);
  chmodSync(join(root, "guest.sh"), 0o755);
  if (node !== undefined) copyFileSync(node, join(root, "usr", "bin", "node"));
}

/** Makes the image of a disk with a root file system. */
export function makeImage(image, root) {
  rmSync(image, { force: true });
  try {
    const set = ["-q", "-t", "ext4", "-E", "root_owner=0:0", "-d", root, image, "1500M"];
    execFileSync("mke2fs", set, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
    });
  } catch (error) {
    throw error.code === "ENOENT" ? new Missing("mke2fs (Debian's e2fsprogs)") : error;
  }
}
