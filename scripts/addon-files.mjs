// What an addon for any processor asks of the system that loads it, read from the file itself: ELF and Mach-O.

import { createHash } from "node:crypto";

/** The processors that the package has an addon for: `process.platform`-`process.arch`, and how their files say it. */
export const ADDONS = {
  "linux-x64": { bits: 64, machine: 62 },
  "linux-arm64": { bits: 64, machine: 183 },
  "linux-arm": { bits: 32, machine: 40 },
  "linux-ppc64": { bits: 64, machine: 21 },
  "linux-s390x": { bits: 64, machine: 22 },
  // glibc has the processor from 2.27 on.
  "linux-riscv64": { bits: 64, machine: 243, glibc: "2.27" },
  "linux-ia32": { bits: 32, machine: 3 },
  "darwin-x64": { bits: 64, machine: 0x01000007 },
  "darwin-arm64": { bits: 64, machine: 0x0100000c, signed: true },
};

const OLDEST_GLIBC = "2.17";

const NEEDED = new Set(["/usr/lib/libSystem.B.dylib"]);

const EXPORTED = ["napi_register_module_v1", "node_api_module_get_api_version_v1"];

/** What glibc and musl both have, on every processor. The symbols of Node-API and libuv begin with `napi_` and `uv_`. */
const LIBC = `__errno_location _exit abort accept4 bind calloc clock_gettime close connect epoll_create1 epoll_ctl epoll_wait fcntl flock
  free getpeername getsockname getsockopt link listen malloc memcpy memmove memrchr memset mmap munmap open pipe2 poll
  pthread_attr_destroy pthread_attr_init pthread_attr_setdetachstate pthread_attr_setstacksize pthread_cond_broadcast pthread_cond_init
  pthread_cond_signal pthread_cond_timedwait pthread_condattr_destroy pthread_condattr_init pthread_condattr_setclock pthread_create
  pthread_join pthread_mutex_lock pthread_mutex_unlock pthread_sigmask raise read realloc recv recvmsg rename send sendmsg setsockopt
  shutdown sigfillset snprintf socket socketpair strlen syscall sysconf umask unlink vfork waitpid write`;

/** What only libSystem has, which Darwin's file takes from it in place of others. */
const LIBSYSTEM = `__bzero __error accept bzero dyld_stub_binder fork fstat fstat$INODE64 lstat lstat$INODE64 pipe
  pthread_cond_timedwait_relative_np`;

const SYMBOLS = {
  linux: new Set(LIBC.split(/\s+/)),
  darwin: new Set([...LIBC.split(/\s+/), ...LIBSYSTEM.split(/\s+/)]),
};

const asString = (bytes, at) => bytes.toString("latin1", at, bytes.indexOf(0, at));

/** Reads integers of a file's byte order and width. */
function reader(bytes, little, bits) {
  const read = (size) => (at) => {
    if (size === 8) return Number(little ? bytes.readBigUInt64LE(at) : bytes.readBigUInt64BE(at));
    return little ? bytes.readUIntLE(at, size) : bytes.readUIntBE(at, size);
  };
  return { u8: read(1), u16: read(2), u32: read(4), word: read(bits / 8), w: bits / 8 };
}

/** elf(5): how to read a file, its width, and its sections. */
function sectionsOf(bytes) {
  const bits = bytes[4] === 2 ? 64 : 32;
  const read = reader(bytes, bytes[5] === 1, bits);
  const { u16, u32, word, w } = read;
  const sectionsAt = word(bits === 64 ? 40 : 32);
  const [size, count] = bits === 64 ? [u16(58), u16(60)] : [u16(46), u16(48)];
  const sections = Array.from({ length: count }, (_, i) => {
    const at = sectionsAt + i * size;
    return { type: u32(at + 4), offset: word(at + 8 + 2 * w), bytes: word(at + 8 + 3 * w), link: u32(at + 8 + 4 * w) };
  });
  return { read, bits, sections };
}

/**
 * Takes out of an ELF file which libraries it needs: libc alone, which is in the process already, as Node-API is. Bun for musl refuses a
 * file that names the library of glibc (1.4.5). The versions of symbols stay: glibc looks for them in the libraries that are loaded
 * (`find_needed` in elf/dl-version.c).
 */
export function dropNeeded(bytes) {
  const { read, sections } = sectionsOf(bytes);
  const { word, w } = read;
  const { offset, bytes: length } = sections.find((section) => section.type === 6);
  const end = offset + length;
  for (let at = offset; word(at) !== 0; ) {
    if (word(at) !== 1) at += 2 * w;
    else bytes.copyWithin(at, at + 2 * w, end).fill(0, end - 2 * w, end);
  }
}

function readElf(bytes) {
  const { read, bits, sections } = sectionsOf(bytes);
  const { u8, u16, u32, word, w } = read;
  const one = (type) => sections.find((section) => section.type === type);
  const dynamic = one(6);
  const symbols = one(11);
  const versions = one(0x6fffffff);
  const needs = one(0x6ffffffe);
  const needed = [];
  for (let at = dynamic.offset; at < dynamic.offset + dynamic.bytes && word(at) !== 0; at += 2 * w)
    if (word(at) === 1) needed.push(asString(bytes, sections[dynamic.link].offset + word(at + w)));
  // The names of versions, by the numbers in the section of versions.
  const names = new Map();
  for (let at = needs?.offset, next = 1; needs !== undefined && next !== 0; at += next) {
    for (let i = 0, aux = at + u32(at + 8); i < u16(at + 2); i++, aux += u32(aux + 12))
      names.set(u16(aux + 6), asString(bytes, sections[needs.link].offset + u32(aux + 8)));
    next = u32(at + 12);
  }
  const undefinedSymbols = [];
  const exported = [];
  const entry = bits === 64 ? 24 : 16;
  for (let i = 1; i < symbols.bytes / entry; i++) {
    const at = symbols.offset + i * entry;
    const name = asString(bytes, sections[symbols.link].offset + u32(at));
    const section = u16(at + (bits === 64 ? 6 : 14));
    if (section === 0) undefinedSymbols.push({ name, version: names.get(u16(versions.offset + 2 * i) & 0x7fff) });
    else if (u8(at + (bits === 64 ? 4 : 12)) >> 4 !== 0) exported.push(name);
  }
  return { system: "linux", bits, machine: u16(18), needed, undefined: undefinedSymbols, exported, signature: null };
}

/** Whether every page has the hash in the signature (Apple's xnu: osfmk/kern/cs_blobs.h). Returns null when the signature is right. */
function wrongSignature(bytes, at) {
  const count = bytes.readUInt32BE(at + 8);
  const blobs = Array.from({ length: count }, (_, i) => at + bytes.readUInt32BE(at + 16 + 8 * i));
  const directory = blobs.find((blob) => bytes.readUInt32BE(blob) === 0xfade0c02);
  if (directory === undefined) return "has no code directory";
  const [hashes, , , pages, limit] = [16, 20, 24, 28, 32].map((field) => bytes.readUInt32BE(directory + field));
  if (bytes[directory + 36] !== 32 || bytes[directory + 37] !== 2) return "has hashes that are not SHA-256";
  const pageBytes = 2 ** bytes[directory + 39];
  if (limit !== at || pages !== Math.ceil(limit / pageBytes)) return "does not cover the file";
  for (let page = 0; page < pages; page++) {
    const code = bytes.subarray(page * pageBytes, Math.min(limit, (page + 1) * pageBytes));
    const stored = bytes.subarray(directory + hashes + 32 * page, directory + hashes + 32 * (page + 1));
    if (!createHash("sha256").update(code).digest().equals(stored)) return `has a wrong hash of page ${page}`;
  }
  return null;
}

/** Apple's mach-o/loader.h and nlist.h. */
function readMachO(bytes) {
  const { u8, u32 } = reader(bytes, true, 64);
  const found = {
    system: "darwin",
    bits: 64,
    machine: u32(4),
    needed: [],
    undefined: [],
    exported: [],
    signature: "is missing",
  };
  for (let i = 0, at = 32; i < u32(16); i++, at += u32(at + 4)) {
    const command = u32(at) & 0x7fffffff;
    if (command === 0xc) found.needed.push(asString(bytes, at + u32(at + 8)));
    if (command === 0x1d) found.signature = wrongSignature(bytes, u32(at + 8));
    if (command !== 2) continue;
    const [symbols, count, strings] = [u32(at + 8), u32(at + 12), u32(at + 16)];
    for (let symbol = symbols; symbol < symbols + 16 * count; symbol += 16) {
      const name = asString(bytes, strings + u32(symbol)).replace(/^_/, "");
      const type = u8(symbol + 4);
      // External, and not private to the file.
      if ((type & 0x11) !== 1) continue;
      if ((type & 0xe) === 0) found.undefined.push({ name });
      else found.exported.push(name);
    }
  }
  return found;
}

/** What a file asks for. @throws Error when it is no addon */
export function readAddon(bytes) {
  if (bytes.readUInt32BE(0) === 0x7f454c46) return readElf(bytes);
  if (bytes.readUInt32LE(0) === 0xfeedfacf) return readMachO(bytes);
  throw new Error("it is neither ELF nor Mach-O");
}

const isNewer = (version, than) => {
  const [a, b] = [version, than].map((text) => text.split(".").map(Number));
  return a[0] !== b[0] ? a[0] > b[0] : a[1] > b[1];
};

/** What is wrong with the addon for a processor, as sentences. None: it is right. */
export function wrongWithAddon(target, bytes) {
  const { bits, machine, glibc = OLDEST_GLIBC, signed = false } = ADDONS[target];
  const found = readAddon(bytes);
  const wrong = [];
  if (found.bits !== bits || found.machine !== machine || !target.startsWith(found.system))
    wrong.push(`it is for another processor: ${found.system}, ${found.bits} bits, machine ${found.machine}`);
  for (const library of found.needed) if (!NEEDED.has(library)) wrong.push(`it needs ${library}`);
  for (const { name, version } of found.undefined) {
    if (!/^(napi|uv)_/.test(name) && !SYMBOLS[found.system].has(name)) wrong.push(`it needs the symbol ${name}`);
    const number = version?.replace(/^GLIBC_/, "");
    if (number !== undefined && isNewer(number, glibc))
      wrong.push(`${name} is of glibc ${number}, newer than ${glibc}`);
  }
  if (found.exported.sort().join() !== EXPORTED.join()) wrong.push(`it exports ${found.exported}`);
  if (signed && found.signature !== null) wrong.push(`its signature ${found.signature}`);
  if (bytes.length >= 100 * 1024) wrong.push(`it has ${bytes.length} bytes`);
  return wrong;
}
