/** Where received bytes land when the caller gives no buffer of their own. */

import { partOf, setBytes } from "../core/bytes.ts";
import { markAsUntransferable } from "./builtins.ts";

/** Buffers of up to this size are cut from a slab of several: a slice costs less than a buffer, or than a copy. */
const SLICED_BYTES = 4096;
const SLAB_BYTES = 4 * SLICED_BYTES;

/** Taken once: between a receive and its message nothing runs that a program can replace. */
const { allocUnsafeSlow } = Buffer;
const fromMemory: (memory: ArrayBufferLike, offset: number, bytes: number) => Buffer = Buffer.from;

/**
 * What makes the Buffers that `subarray` returns, in 0.4 times its time (`Buffer.from`: 0.8; Node 20, 2026-11): the Buffer is not
 * asked for its ArrayBuffer, nor that for what it is. Where a host has only Buffer itself, whose constructor is deprecated, that is not used.
 */
const { [Symbol.species]: Made } = Buffer as unknown as { [Symbol.species]?: typeof Uint8Array };
const bufferOf: (memory: ArrayBufferLike, offset: number, bytes: number) => Buffer =
  Made === undefined || (Made as unknown) === Buffer
    ? fromMemory
    : (memory, offset, bytes) => new Made(memory, offset, bytes) as Buffer;

const NONE: Buffer = Buffer.alloc(0);

/**
 * After so many small messages slabs are used. They are marked as Node's own pool is: to transfer the memory of one message would
 * empty the others. `node:worker_threads`, which marks them, takes 1.7 ms to load (Node 20.20, 2026-11), too much for a program
 * that receives little.
 */
const UNTIL_SLABS = 8;

/** Hands out parts of memory that no two messages have in common. One receive at a time: {@link prepare}, then {@link take} or nothing. */
export class ReceiveBuffer {
  #slab: Buffer = NONE;
  #memory: ArrayBufferLike = this.#slab.buffer;
  #used = 0;
  #large: Buffer = NONE;
  /** Messages of up to this size get a slice of a slab; 0: they get memory of their own. */
  #sliced = 0;
  #small = 0;
  /** Where to receive to, and from which offset on. */
  buffer: Buffer = this.#slab;
  offset = 0;

  /** Makes room for `size` bytes. Room that is not taken is used again. */
  prepare(size: number): void {
    if (size <= this.#sliced) {
      if (this.#slab.length - this.#used < size) {
        this.#slab = allocUnsafeSlow(SLAB_BYTES);
        this.#memory = this.#slab.buffer;
        markAsUntransferable()!(this.#memory);
        this.#used = 0;
      }
      // As a rule it is: a store into an old object costs more than asking.
      if (this.buffer !== this.#slab) this.buffer = this.#slab;
      this.offset = this.#used;
    } else {
      if (this.#large.length !== size) this.#large = allocUnsafeSlow(size);
      this.buffer = this.#large;
      this.offset = 0;
    }
  }

  /** The first `bytes` that were received, the caller's from now on. */
  take(bytes: number): Buffer {
    const { buffer, offset } = this;
    if (buffer === this.#slab) {
      this.#used = (offset + bytes + 7) & ~7;
      return bufferOf(this.#memory, offset, bytes);
    }
    if (buffer.length <= SLICED_BYTES && ++this.#small === UNTIL_SLABS && markAsUntransferable() !== null)
      this.#sliced = SLICED_BYTES;
    // A small message must not keep a large buffer.
    if (bytes < buffer.length / 2) return ownCopy(buffer, bytes);
    this.#large = NONE;
    return bytes === buffer.length ? buffer : bufferOf(buffer.buffer, 0, bytes);
  }
}

/** The first `bytes` in memory of their own: not of Buffer's pool, which some hosts do not mark. */
function ownCopy(buffer: Buffer, bytes: number): Buffer {
  const copy = allocUnsafeSlow(bytes);
  setBytes(copy, partOf(buffer, 0, bytes));
  return copy;
}
