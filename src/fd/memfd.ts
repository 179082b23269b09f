/** Anonymous memory with a descriptor (memfd_create(2)), for passing bytes that the receiver maps or reads. */

import { byteLengthOf, isUint8Array } from "../core/bytes.ts";
import { type Checks, integer, outOfRange, wrongType } from "../core/errors.ts";
import { EINVAL, ENOSYS, errnoError, needs } from "../system/errno.ts";
import { type Platform, type PlatformOptions, readPlatform } from "../system/platform.ts";
import { makeMemfd, SEALS, type Seal } from "./describe.ts";
import { adopt, type OwnedFd } from "./owned-fd.ts";

/** Options of {@link memfd}. */
export interface MemfdOptions extends PlatformOptions {
  /** The first bytes; a string is UTF-8. None by default. */
  data?: string | Uint8Array | undefined;
  /** The size in bytes; those behind `data` are 0. By default the size of `data`. */
  size?: number | undefined;
  /**
   * What nobody may do to it from now on, this process neither. `true`: nothing but read it (`"shrink"`, `"grow"`, `"write"`, `"seal"`).
   * A list: only these; without `"seal"` whoever has the memfd may add further seals, and `[]` leaves all to them. `false`, the
   * default: only `"seal"`, so that it can be written and resized, and no receiver can forbid that.
   */
  seal?: boolean | readonly Seal[] | undefined;
}

const MEMFD: Checks = {
  data(name, value) {
    if (typeof value !== "string" && !isUint8Array(value)) throw wrongType(name, "a string or a Uint8Array", value);
  },
  size: (name, value) => void integer(name, value, 0, Number.MAX_SAFE_INTEGER),
  seal(name, value) {
    if (typeof value !== "boolean" && !Array.isArray(value))
      throw wrongType(name, "a boolean or an array of seals", value);
  },
};

/** The longest name (mm/memfd.c, MFD_NAME_MAX_LEN), in bytes. */
const NAME_BYTES = 249;

const EVERYTHING: readonly Seal[] = ["shrink", "grow", "write", "seal"];
const NO_MORE: readonly Seal[] = ["seal"];
const ZERO = new Uint8Array(1);

/**
 * Makes a memfd: anonymous memory that is read, written, mapped and passed as a file. CLOEXEC; its file offset is 0.
 *
 * Linux 6.3 and later: nobody can execute it, so `describe()` lists the seal `"exec"` too. No other system of this library has a memfd
 * that can be sealed; the objects of `shm_open(3)` have a name that others can open until it is unlinked, and those of macOS can be
 * neither read nor written, only mapped. Use a file that is unlinked after it was opened.
 *
 * @param name what /proc shows as `/memfd:name`; two memfds may have the same. At most 249 bytes of UTF-8, without NUL
 * @throws SystemError `ENOSYS` on other systems than Linux; `EMFILE`, `ENFILE`, `ENOMEM`, `EFBIG`; `EINVAL` for a seal that the kernel
 *   does not know (`"future-write"` before Linux 5.1, `"exec"` before 6.3)
 */
export function memfd(name: string, options?: MemfdOptions): OwnedFd {
  if (typeof name !== "string") throw wrongType("name", "a string", name);
  if (name.includes("\0")) throw outOfRange("name", "a name without NUL", name, "ERR_INVALID_ARG_VALUE");
  if (Buffer.byteLength(name) > NAME_BYTES)
    throw outOfRange("name", `at most ${NAME_BYTES} bytes`, `${Buffer.byteLength(name)} bytes`);
  const { platform, data: first, size: asked, seal } = readPlatform(options, MEMFD);
  const seals = sealBits(platform, seal);
  const data = typeof first === "string" ? Buffer.from(first) : (first ?? new Uint8Array(0));
  // From here on no code of the caller's runs.
  const length = byteLengthOf(data);
  const size = asked ?? length;
  if (size < length) throw outOfRange("options.size", `at least the ${length} bytes of "options.data"`, size);
  platform.system.needStack();
  const fd = makeMemfd(platform, name);
  if (fd < 0) throw errnoError(fd, "memfd_create", fd === ENOSYS ? "it needs Linux" : undefined);
  const owned = adopt(platform, fd);
  try {
    write(platform, fd, data, length, 0);
    // The last byte makes the size: the C libraries differ in what ftruncate(2) takes on 32 bit.
    if (size > length) write(platform, fd, ZERO, 1, size - 1);
    const sealed = seals === 0 ? 0 : platform.system.fcntl(fd, platform.constants.F_ADD_SEALS!, seals);
    if (sealed < 0) throw errnoError(sealed, "fcntl", sealed === EINVAL ? newestSeal(platform, seals) : null);
  } catch (error) {
    owned.close();
    throw error;
  }
  return owned;
}

/** The bits of F_ADD_SEALS. */
function sealBits({ constants }: Platform, value: MemfdOptions["seal"]): number {
  const asked = typeof value === "object" ? value : value === true ? EVERYTHING : NO_MORE;
  const count = asked.length;
  let bits = 0;
  for (let i = 0; i < count; i++) {
    const name: unknown = asked[i];
    if (typeof name !== "string") throw wrongType(`options.seal[${i}]`, "a string", name);
    const known = SEALS.find(([, seal]) => seal === name);
    if (known === undefined) {
      const expected = `any of ${SEALS.map(([, seal]) => `"${seal}"`).join(", ")}`;
      throw outOfRange(`options.seal[${i}]`, expected, name, "ERR_INVALID_ARG_VALUE");
    }
    bits |= constants[known[0]] ?? 0;
  }
  return bits;
}

/** The seal among those asked for that the kernel is too old for. */
function newestSeal(platform: Platform, seals: number): string | null {
  for (const [constant, seal] of SEALS) {
    const name = `the seal "${seal}"`;
    const text = needs(platform, constant, name);
    if ((seals & (platform.constants[constant] ?? 0)) !== 0 && text !== name) return text;
  }
  return null;
}

/** @throws SystemError */
function write({ system }: Platform, fd: number, bytes: Uint8Array, length: number, position: number): void {
  for (let from = 0; from < length; ) {
    const written = system.pwrite(fd, bytes, from, position + from);
    if (written < 0) throw errnoError(written, "pwrite");
    from += written;
  }
}
