/**
 * The Wasm wall: the only file that uses WebAssembly.
 *
 * A {@link Core} is one instance of `core.wasm`, configured for one ABI. Arguments and results are numbers; further results are in
 * registers. The caller and the kernel read and write the control area in place.
 */

import type { Abi } from "./abis/table.ts";
import { NodeBuffer } from "./bytes.ts";
import { CORE_WASM, MEMORY, REGISTER } from "./core.wasm.ts";
import { AncillaryError } from "./errors.ts";

export { REGISTER };

/** The part of the global that is used: the types of some hosts do not declare it. */
declare namespace WebAssembly {
  class Module {
    constructor(bytes: Uint8Array);
  }
  class Instance {
    constructor(module: Module);
    readonly exports: unknown;
  }
  class Memory {
    private constructor();
    readonly buffer: ArrayBuffer;
  }
}

/** The exports of `core.wasm`, documented in `assembly/`. */
interface CoreExports {
  readonly memory: WebAssembly.Memory;
  setLayout(
    headerBytes: number,
    lengthOffset: number,
    lengthBytes: number,
    levelOffset: number,
    typeOffset: number,
    dataOffset: number,
    alignBytes: number,
    headerAlignBytes: number,
    bigEndian: boolean,
  ): number;
  setNumbers(
    SOL_SOCKET: number,
    SCM_RIGHTS: number,
    SCM_PIDFD: number,
    SCM_SECURITY: number,
    MSG_TRUNC: number,
    MSG_CTRUNC: number,
    padLast: boolean,
    losesCtrunc: boolean,
  ): void;
  setCredentials(kind: number, type: number, bytes: number, pid: number, uid: number, gid: number): number;
  align(n: number): number;
  len(n: number): number;
  space(n: number): number;
  begin(capacity: number): void;
  put(level: number, type: number, length: number): number;
  encodeRights(count: number): number;
  readRights(from: number, data: number, count: number): number;
  putRights(count: number): number;
  putCredentials(pid: number, uid: number, gid: number): number;
  length(): number;
  open(length: number, clamp: boolean): void;
  next(): number;
  verdict(length: number, flags: number, maxFds: number, exactly: number, allowTruncated: boolean): number;
}

let compiled: WebAssembly.Module | null = null;

/**
 * Provides the compiled module on hosts that compile no bytes at run time, for example workerd: import `unix-ancillary/core.wasm`
 * as a module and call this before the first {@link Codec}. Elsewhere the embedded bytes are compiled on first use.
 */
export function provideCoreModule(module: object): void {
  compiled = module;
}

const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Not every host with WebAssembly has `atob` (GJS and the shell of JavaScriptCore do not). */
function decodeBase64(text: string): Uint8Array {
  const digits = text.replace(/=+$/, "");
  const bytes = new Uint8Array((digits.length * 3) >> 2);
  for (let i = 0, at = 0, held = 0; i < digits.length; i++) {
    held = (held << 6) | BASE64.indexOf(digits[i]!);
    if (i % 4 !== 0) bytes[at++] = held >> (6 - 2 * (i % 4));
  }
  return bytes;
}

/** @throws AncillaryError `ERR_WASM_UNAVAILABLE`, with what helps */
function instantiate(): CoreExports {
  if (typeof WebAssembly !== "object") {
    throw unavailable("this host has no WebAssembly: run Node without --jitless");
  }
  try {
    compiled ??= new WebAssembly.Module(NodeBuffer?.from(CORE_WASM, "base64") ?? decodeBase64(CORE_WASM));
  } catch (error) {
    // A content security policy, or a host as workerd.
    throw unavailable("this host compiles no WebAssembly at run time: give it core.wasm with provideCoreModule", error);
  }
  try {
    return new WebAssembly.Instance(compiled).exports as CoreExports;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw unavailable(
      "there is no room for the memory of the core, for which V8 reserves 8 GiB of addresses: run Node with " +
        "--disable-wasm-trap-handler, which reserves 192 KiB, or raise the limit of addresses (ulimit -v)",
      error,
    );
  }
}

function unavailable(why: string, cause?: unknown): AncillaryError {
  const error = new AncillaryError("ERR_WASM_UNAVAILABLE", why);
  if (cause !== undefined) Object.defineProperty(error, "cause", { value: cause, configurable: true, writable: true });
  return error;
}

export const HOST_IS_LITTLE_ENDIAN: boolean = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** The outcomes of `assembly/verdict.ts`, by number. */
export const OUTCOMES = ["ok", "ancillary-truncated", "malformed", "data-truncated", "fd-count"] as const;

/** The faults of `assembly/decode.ts`, by number. */
export const FAULTS = [null, "header-truncated", "length-too-small", "length-overruns"] as const;

/** One instance of the core, for one ABI at a time. Calls that belong together (begin ... length, open ... next) must not be interleaved. */
export class Core {
  /** Documented in `assembly/`. */
  readonly exports: CoreExports;
  /** The Wasm memory. Its size is fixed: views of it never detach. */
  readonly memory: ArrayBuffer;
  /** The control area. */
  readonly control: Uint8Array;
  /** Offset of the control area in {@link memory}. */
  readonly controlOffset: number = MEMORY.CONTROL;
  /**
   * Further results of a call, by {@link REGISTER}. As {@link fds}, a view of the memory, where integers are little-endian; on a
   * big-endian host a copy, which the methods below keep up to date.
   */
  readonly registers: Int32Array;
  /** The descriptor table. */
  readonly fds: Int32Array;
  /**
   * `verdict` of `assembly/verdict.ts`; fills {@link registers} and {@link fds}. This and {@link encodeRights} are called for each
   * message, so that on a little-endian host they are the exports themselves.
   */
  readonly verdict: CoreExports["verdict"];
  /** `encodeRights` of `assembly/rights.ts`, with the first `count` of {@link fds}. */
  readonly encodeRights: CoreExports["encodeRights"];

  constructor(abi: Abi) {
    const exports = instantiate();
    this.exports = exports;
    this.memory = exports.memory.buffer;
    this.control = new Uint8Array(this.memory, MEMORY.CONTROL, MEMORY.CONTROL_BYTES);
    this.registers = view(this.memory, MEMORY.REGISTERS, Object.keys(REGISTER).length);
    this.fds = view(this.memory, MEMORY.FDS, MEMORY.FDS_CAPACITY);
    this.verdict = HOST_IS_LITTLE_ENDIAN
      ? exports.verdict
      : (length, flags, maxFds, exactly, allowTruncated) => {
          const outcome = exports.verdict(length, flags, maxFds, exactly, allowTruncated);
          this.#load(this.registers, MEMORY.REGISTERS, this.registers.length);
          this.#load(this.fds, MEMORY.FDS, this.registers[REGISTER.COUNT]!);
          return outcome;
        };
    this.encodeRights = HOST_IS_LITTLE_ENDIAN
      ? exports.encodeRights
      : (count) => {
          this.#storeFds(count);
          return exports.encodeRights(count);
        };
    this.configure(abi);
  }

  /** Makes it the core of another ABI. @throws RangeError for a layout that cannot be walked; it is then of none */
  configure(abi: Abi): void {
    const { exports } = this;
    const accepted = exports.setLayout(
      abi.headerBytes,
      abi.lengthOffset,
      abi.lengthBytes,
      abi.levelOffset,
      abi.typeOffset,
      abi.dataOffset,
      abi.alignBytes,
      abi.headerAlignBytes,
      abi.endian === "big",
    );
    if (accepted === 0) throw new RangeError(`"abi" expected a layout that can be walked, got ${JSON.stringify(abi)}`);
    exports.setNumbers(
      abi.SOL_SOCKET,
      abi.SCM_RIGHTS,
      abi.SCM_PIDFD ?? -1,
      abi.SCM_SECURITY ?? -1,
      abi.MSG_TRUNC,
      abi.MSG_CTRUNC,
      abi.sendControlLength === "space",
      abi.losesCtrunc,
    );
    for (const [kind, { type, bytes, pid, uid, gid }] of abi.credentials.entries()) {
      if (exports.setCredentials(kind, type, bytes, pid ?? -1, uid, gid) === 0) {
        throw new RangeError(
          `"abi.credentials" expected at most three layouts with their fields inside, got entry ${kind}`,
        );
      }
    }
    for (let kind = abi.credentials.length; kind < 3; kind++) exports.setCredentials(kind, -1, 0, -1, 0, 0);
  }

  /** `next` of `assembly/decode.ts`; fills {@link registers}. */
  next(): boolean {
    const found = this.exports.next() !== 0;
    if (!HOST_IS_LITTLE_ENDIAN) this.#load(this.registers, MEMORY.REGISTERS, this.registers.length);
    return found;
  }

  /** `putRights` of `assembly/rights.ts`, with the first `count` of {@link fds}. */
  putRights(count: number): number {
    this.#storeFds(count);
    return this.exports.putRights(count);
  }

  /** `readRights` of `assembly/rights.ts`; fills {@link fds}. The result is how many are negative. */
  readRights(from: number, data: number, count: number): number {
    const invalid = this.exports.readRights(from, data, count);
    if (!HOST_IS_LITTLE_ENDIAN) this.#load(this.fds, MEMORY.FDS, from + count);
    return invalid;
  }

  #storeFds(count: number): void {
    if (!HOST_IS_LITTLE_ENDIAN) {
      const table = new DataView(this.memory, MEMORY.FDS);
      for (let i = 0; i < count; i++) table.setInt32(i << 2, this.fds[i]!, true);
    }
  }

  #load(into: Int32Array, from: number, count: number): void {
    const memory = new DataView(this.memory, from);
    for (let i = 0; i < count; i++) into[i] = memory.getInt32(i << 2, true);
  }
}

function view(memory: ArrayBuffer, offset: number, length: number): Int32Array {
  return HOST_IS_LITTLE_ENDIAN ? new Int32Array(memory, offset, length) : new Int32Array(length);
}

/** Capacity of {@link Core.control} in bytes. */
export const CONTROL_BYTES: number = MEMORY.CONTROL_BYTES;
/** Capacity of {@link Core.fds} in descriptors. */
export const FDS_CAPACITY: number = MEMORY.FDS_CAPACITY;
