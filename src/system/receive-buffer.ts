/** The memory for received bytes when the caller gives no buffers. */

import { partOf, setBytes } from "../core/bytes.ts";
import { markAsUntransferable } from "./builtins.ts";

/** Buffers of up to this size are slices of a slab: a slice takes less time than a new buffer, or a copy. */
const SLICED_BYTES = 4096;
const SLAB_BYTES = 4 * SLICED_BYTES;

/** Read once at the start: nothing that a program can replace runs between a receive and its message. */
const { allocUnsafeSlow } = Buffer;
const fromMemory: (memory: ArrayBufferLike, offset: number, bytes: number) => Buffer = Buffer.from;

/**
 * The class of the Buffers that `subarray` returns. Its constructor takes 0.4 times as long as `subarray` (`Buffer.from`: 0.8 times;
 * Node 20, 2026-11), because it does not look up and check the ArrayBuffer. Not used where the class is Buffer itself, whose
 * constructor is deprecated.
 */
const { [Symbol.species]: Made } = Buffer as unknown as { [Symbol.species]?: typeof Uint8Array };
const bufferOf: (memory: ArrayBufferLike, offset: number, bytes: number) => Buffer =
  Made === undefined || (Made as unknown) === Buffer
    ? fromMemory
    : (memory, offset, bytes) => new Made(memory, offset, bytes) as Buffer;

const NONE: Buffer = Buffer.alloc(0);

/**
 * Slabs are used after this many small messages. They are marked as untransferable, like Node's own pool: transferring the memory of
 * one message would empty the others. The function for that is in `node:worker_threads`, which takes 1.7 ms to load (Node 20.20,
 * 2026-11), too much for a program that receives few messages.
 */
const UNTIL_SLABS = 8;

/** Provides memory that no two messages share. For each receive, {@link prepare} is called, then {@link take} if bytes arrived. */
export class ReceiveBuffer {
  #slab: Buffer = NONE;
  #memory: ArrayBufferLike = this.#slab.buffer;
  #used = 0;
  #large: Buffer = NONE;
  /** Messages of up to this size get a slice of a slab; 0 means that all messages get their own memory. */
  #sliced = 0;
  #small = 0;
  /** The buffer for the next receive, and the offset in it. */
  buffer: Buffer = this.#slab;
  offset = 0;

  /** Makes room for `size` bytes. Room that is not taken is reused. */
  prepare(size: number): void {
    if (size <= this.#sliced) {
      if (this.#slab.length - this.#used < size) {
        this.#slab = allocUnsafeSlow(SLAB_BYTES);
        this.#memory = this.#slab.buffer;
        markAsUntransferable()!(this.#memory);
        this.#used = 0;
      }
      // It usually is the slab: a store into an old object takes longer than the comparison.
      if (this.buffer !== this.#slab) this.buffer = this.#slab;
      this.offset = this.#used;
    } else {
      if (this.#large.length !== size) this.#large = allocUnsafeSlow(size);
      this.buffer = this.#large;
      this.offset = 0;
    }
  }

  /** Takes the first `bytes` of the room. They are not used for other messages. */
  take(bytes: number): Buffer {
    const { buffer, offset } = this;
    if (buffer === this.#slab) {
      this.#used = (offset + bytes + 7) & ~7;
      return bufferOf(this.#memory, offset, bytes);
    }
    return this.#takeLarge(buffer, bytes);
  }

  /** A method of its own, so that V8 inlines {@link take}. */
  #takeLarge(buffer: Buffer, bytes: number): Buffer {
    if (buffer.length <= SLICED_BYTES && ++this.#small === UNTIL_SLABS && markAsUntransferable() !== null)
      this.#sliced = SLICED_BYTES;
    // A small message must not keep a large buffer.
    if (bytes < buffer.length / 2) return ownCopy(buffer, bytes);
    this.#large = NONE;
    return bytes === buffer.length ? buffer : bufferOf(buffer.buffer, 0, bytes);
  }
}

/** Copies the first `bytes` to new memory, not to Buffer's pool, which some hosts do not mark as untransferable. */
function ownCopy(buffer: Buffer, bytes: number): Buffer {
  const copy = allocUnsafeSlow(bytes);
  setBytes(copy, partOf(buffer, 0, bytes));
  return copy;
}
