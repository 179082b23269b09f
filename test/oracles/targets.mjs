// The oracles for the core: which compiler compiles test/oracles/macros.h for which ABI. Nothing here comes from the table under test.

import { join } from "node:path";

/** ABI, compiler, flags, and the command that runs the result: with the headers of the libc. */
export const COMPILERS = [
  ["linux-x86_64-glibc", "gcc", [], []],
  ["linux-i386-glibc", "gcc", ["-m32", "-I/usr/include/x86_64-linux-gnu"], ["qemu-i386"]],
  ["linux-x86_64-musl", "musl-gcc", ["-static"], []],
  ["linux-aarch64-glibc", "aarch64-linux-gnu-gcc", ["-static"], ["qemu-aarch64"]],
  ["linux-armv7-glibc", "arm-linux-gnueabihf-gcc", ["-static"], ["qemu-arm"]],
  ["linux-s390x-glibc", "s390x-linux-gnu-gcc", ["-static"], ["qemu-s390x"]],
  ["linux-riscv64-glibc", "riscv64-linux-gnu-gcc", ["-static"], ["qemu-riscv64"]],
];

/** Targets of the reference header: system, bytes of a pointer, alignment, other definitions. */
const REFERENCES = {
  "darwin-arm64": ["DARWIN", 8, 4],
  "darwin-x86_64": ["DARWIN", 8, 4],
  "freebsd-amd64": ["FREEBSD", 8, 8],
  "freebsd-arm64": ["FREEBSD", 8, 8],
  "freebsd-riscv64": ["FREEBSD", 8, 8],
  "freebsd-powerpc64": ["FREEBSD", 8, 8, "BIG_ENDIAN_TARGET"],
  "freebsd-i386": ["FREEBSD", 4, 4, "I386", "ALIGN64_TO=4"],
  "freebsd-armv7": ["FREEBSD", 4, 4],
  "openbsd-amd64": ["OPENBSD", 8, 8],
  "openbsd-arm64": ["OPENBSD", 8, 8],
  "openbsd-riscv64": ["OPENBSD", 8, 8],
  "openbsd-i386": ["OPENBSD", 4, 4, "ALIGN64_TO=4"],
  "openbsd-arm": ["OPENBSD", 4, 8],
  "openbsd-powerpc": ["OPENBSD", 4, 8, "BIG_ENDIAN_TARGET"],
  "openbsd-sparc64": ["OPENBSD", 8, 16, "BIG_ENDIAN_TARGET"],
  "netbsd-amd64": ["NETBSD", 8, 8],
  "netbsd-i386": ["NETBSD", 4, 4, "ALIGN64_TO=4"],
  "netbsd-arm-eabi": ["NETBSD", 4, 8],
  "netbsd-aarch64": ["NETBSD", 8, 16],
  "netbsd-sparc64": ["NETBSD", 8, 16, "BIG_ENDIAN_TARGET"],
  "dragonfly-x86_64": ["DRAGONFLY", 8, 8],
  "illumos-amd64": ["ILLUMOS", 8, 4],
  "illumos-sparcv9": ["ILLUMOS", 8, 8, "BIG_ENDIAN_TARGET"],
  "linux-x86_64-glibc": ["LINUX", 8, 8, "LENGTH64"],
  "linux-aarch64-glibc": ["LINUX", 8, 8, "LENGTH64"],
  "linux-riscv64-glibc": ["LINUX", 8, 8, "LENGTH64"],
  "linux-s390x-glibc": ["LINUX", 8, 8, "LENGTH64", "BIG_ENDIAN_TARGET"],
  "linux-powerpc64-glibc": ["LINUX", 8, 8, "LENGTH64", "BIG_ENDIAN_TARGET"],
  "linux-powerpc64le-glibc": ["LINUX", 8, 8, "LENGTH64"],
  "linux-x86_64-musl": ["LINUX", 8, 8, "LENGTH64", "MUSL"],
  "linux-aarch64-musl": ["LINUX", 8, 8, "LENGTH64", "MUSL"],
  "linux-riscv64-musl": ["LINUX", 8, 8, "LENGTH64", "MUSL"],
  "linux-s390x-musl": ["LINUX", 8, 8, "LENGTH64", "MUSL", "BIG_ENDIAN_TARGET"],
  "linux-powerpc64-musl": ["LINUX", 8, 8, "LENGTH64", "MUSL", "BIG_ENDIAN_TARGET"],
  "linux-powerpc64le-musl": ["LINUX", 8, 8, "LENGTH64", "MUSL"],
  "linux-i386-glibc": ["LINUX", 4, 4, "ALIGN64_TO=4"],
  "linux-i386-musl": ["LINUX", 4, 4, "ALIGN64_TO=4"],
  "linux-armv7-glibc": ["LINUX", 4, 4],
  "linux-armv7-musl": ["LINUX", 4, 4],
  "linux-powerpc-glibc": ["LINUX", 4, 4, "BIG_ENDIAN_TARGET"],
  "linux-powerpc-musl": ["LINUX", 4, 4, "BIG_ENDIAN_TARGET"],
  "linux-mips-glibc": ["LINUX", 4, 4, "BIG_ENDIAN_TARGET", "SOL_SOCKET=0xffff"],
  // 32-bit pointers, 64-bit times.
  "linux-x32-glibc": ["LINUX", 4, 4, "TIME_FIELD=wide"],
  "android-aarch64-bionic": ["LINUX", 8, 8, "LENGTH64"],
  "android-x86_64-bionic": ["LINUX", 8, 8, "LENGTH64"],
  "android-armv7-bionic": ["LINUX", 4, 4],
};

/** Every ABI of the reference header, and its flags for a C compiler. */
export const REFERENCE_FLAGS = Object.fromEntries(
  Object.entries(REFERENCES).map(([name, [system, pointer, alignment, ...more]]) => {
    const defines = [`OS_${system}`, `POINTER=${pointer}`, `ALIGNMENT=${alignment}`, ...more];
    if (system === "LINUX") {
      if (!more.some((one) => one.startsWith("SOL_SOCKET"))) defines.push("SOL_SOCKET=1");
      if (!more.some((one) => one.startsWith("TIME_FIELD"))) defines.push("TIME_FIELD=target_long");
    }
    return [name, ["-DREFERENCE", ...defines.map((one) => `-D${one}`)]];
  }),
);

/** clang with wasi-libc: the SDK's, or the system's. */
export const WASI_CLANG =
  process.env.WASI_SDK_PATH === undefined ? "clang" : join(process.env.WASI_SDK_PATH, "bin", "clang");

/**
 * Targets whose headers zig carries: what they state is asserted at compile time, nothing runs. Of Darwin's own every number
 * of the row has to be there; of the Linux ones, which are older than some, those that are.
 */
export const ZIG_TARGETS = {
  "darwin-arm64": "aarch64-macos",
  "darwin-x86_64": "x86_64-macos",
  "linux-x86_64-glibc": "x86_64-linux-gnu",
  "linux-i386-glibc": "x86-linux-gnu",
  "linux-x32-glibc": "x86_64-linux-gnux32",
  "linux-aarch64-glibc": "aarch64-linux-gnu",
  "linux-armv7-glibc": "arm-linux-gnueabihf",
  "linux-powerpc64-glibc": "powerpc64-linux-gnu",
  "linux-powerpc64le-glibc": "powerpc64le-linux-gnu",
  "linux-powerpc-glibc": "powerpc-linux-gnueabihf",
  "linux-mips-glibc": "mips-linux-gnueabihf",
  "linux-x86_64-musl": "x86_64-linux-musl",
  "linux-i386-musl": "x86-linux-musl",
  "linux-aarch64-musl": "aarch64-linux-musl",
  "linux-armv7-musl": "arm-linux-musleabihf",
  "linux-riscv64-musl": "riscv64-linux-musl",
  "linux-powerpc64-musl": "powerpc64-linux-musl",
  "linux-powerpc64le-musl": "powerpc64le-linux-musl",
  "linux-powerpc-musl": "powerpc-linux-musl",
};
