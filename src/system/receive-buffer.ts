/** Where received bytes land when the caller gives no buffer of their own. */

import { partOf, setBytes } from "./builtins.ts";

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

/** Hands out memory that no two messages share. One receive at a time: {@link prepare}, then {@link take} or nothing. */
export class ReceiveBuffer {
  #slab: Buffer = NONE;
  #memory: ArrayBufferLike = this.#slab.buffer;
  #used = 0;
  #large: Buffer = NONE;
  /** Where to receive to, and from which offset on. */
  buffer: Buffer = this.#slab;
  offset = 0;

  /** Makes room for `size` bytes. Room that is not taken is used again. */
  prepare(size: number): void {
    if (size <= SLICED_BYTES) {
      if (this.#slab.length - this.#used < size) {
        this.#slab = allocUnsafeSlow(SLAB_BYTES);
        this.#memory = this.#slab.buffer;
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
    // A small message must not keep a large buffer.
    if (bytes < buffer.length / 2) {
      const copy = allocUnsafeSlow(bytes);
      setBytes(copy, partOf(buffer, 0, bytes));
      return copy;
    }
    this.#large = NONE;
    return bytes === buffer.length ? buffer : bufferOf(buffer.buffer, 0, bytes);
  }
}
