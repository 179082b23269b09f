// The processors and kernels of the lanes, and where Debian has them.

/** What the tests need of a root file system besides Node. */
export const PACKAGES =
  "bash dash coreutils python3-minimal python3 strace procps grep sed findutils util-linux mount login passwd libc-bin busybox-static".split(
    " ",
  );

const virtio = (device) => ["-drive", "file=IMAGE,if=none,id=disk,format=raw", "-device", `${device},drive=disk`];

/**
 * By the name of the addon's processor. `debian`: Debian's name; `suite`: that of Node and the root file system; `libuv`:
 * its version, where it matters; `user`: the program for
 * user-mode emulation; `kernel`: the package, of `kernelSuite`; `system`:
 * the emulator and its options; `console`: of the kernel; `processors` of the machine. x86-64 runs the programs of ia32 itself.
 */
export const PROCESSORS = {
  arm64: {
    debian: "arm64",
    suite: "trixie",
    libuv: "1.50",
    user: "qemu-aarch64",
    kernel: "linux-image-cloud-arm64",
    kernelSuite: "trixie",
    console: "ttyAMA0",
    processors: 2,
    memory: 6144,
    system: ["qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a72", ...virtio("virtio-blk-pci")],
  },
  arm: {
    debian: "armhf",
    suite: "trixie",
    libuv: "1.50",
    user: "qemu-arm",
    kernel: "linux-image-armmp",
    kernelSuite: "trixie",
    console: "ttyAMA0",
    processors: 2,
    memory: 2047,
    system: ["qemu-system-arm", "-machine", "virt,highmem=off", "-cpu", "cortex-a15", ...virtio("virtio-blk-device")],
  },
  s390x: {
    debian: "s390x",
    suite: "sid",
    libuv: "1.53",
    user: "qemu-s390x",
    kernel: "linux-image-s390x",
    kernelSuite: "trixie",
    console: "ttysclp0",
    // With two, qemu 7.2 made Node 24 die of SIGILL. In that of Debian 13, three files were run with two (2026-12).
    processors: 1,
    memory: 6144,
    system: ["qemu-system-s390x", "-machine", "s390-ccw-virtio", "-cpu", "max", ...virtio("virtio-blk-ccw")],
  },
  ppc64: {
    debian: "ppc64el",
    suite: "sid",
    libuv: "1.53",
    user: "qemu-ppc64le",
    kernel: "linux-image-powerpc64le",
    kernelSuite: "trixie",
    console: "hvc0",
    processors: 1,
    memory: 6144,
    system: ["qemu-system-ppc64", "-machine", "pseries", "-cpu", "power9", ...virtio("virtio-blk-pci")],
  },
  riscv64: {
    debian: "riscv64",
    suite: "trixie",
    libuv: "1.50",
    user: "qemu-riscv64",
    kernel: "linux-image-riscv64",
    kernelSuite: "trixie",
    console: "ttyS0",
    processors: 2,
    memory: 6144,
    system: ["qemu-system-riscv64", "-machine", "virt", ...virtio("virtio-blk-device")],
  },
  ia32: { debian: "i386", suite: "trixie" },
};

/** Other names for them, as Debian and users have them. */
export const ALIASES = { ppc64le: "ppc64", ppc64el: "ppc64", armhf: "arm", aarch64: "arm64", i386: "ia32" };

/**
 * The kernels of Linux on x86-64, by version. `uml`: the suite of Debian whose package `user-mode-linux` has it. `kernel`: the package,
 * of `suite`, for an emulated machine.
 */
export const KERNELS = {
  "5.10": { uml: "bullseye", suite: "bullseye", kernel: "linux-image-cloud-amd64" },
  6.1: { uml: "bookworm", suite: "bookworm", kernel: "linux-image-cloud-amd64" },
  6.12: { uml: "trixie", suite: "trixie", kernel: "linux-image-cloud-amd64" },
  newest: { uml: "sid", suite: "sid", kernel: "linux-image-cloud-amd64" },
};

/** The machine that the kernels of x86-64 run in. */
export const PC = {
  debian: "amd64",
  suite: "bookworm",
  console: "ttyS0",
  processors: 2,
  memory: 6144,
  system: ["qemu-system-x86_64", "-cpu", "max", ...virtio("virtio-blk-pci")],
};
