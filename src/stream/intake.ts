/** From a reader into a Readable. The descriptors stay in the reader until they are taken. */

import type { Duplex } from "node:stream";
import type { FdRange, FdReader } from "../socket/fd-reader.ts";
import type { UnixStream } from "../socket/stream.ts";
import type { SystemError } from "../system/errno.ts";

/** Most descriptors that wait before a receive is held back, so that a slow consumer does not exceed the reader's limit. */
const CROWDED = 512;

/** Receives for a stream when its `_read` asks, and pushes what arrived. */
export class Intake {
  readonly reader: FdReader;
  readonly #into: Duplex;
  readonly #arrived: (range: FdRange) => void;
  #held = false;
  /** Offset in the stream of the next byte that is pushed. What was received and is not pushed cannot be read yet. */
  #pushed: number;

  /** @param arrived is called before the bytes that the descriptors arrived with are pushed */
  constructor(reader: FdReader, into: Duplex, arrived: (range: FdRange) => void) {
    this.reader = reader;
    this.#pushed = reader.offset;
    this.#into = into;
    this.#arrived = arrived;
  }

  /** Receives once; while many descriptors wait and there are bytes to read, only when the consumer has made progress. */
  fill(): void {
    this.#held = this.#into.readableLength > 0 && this.reader.queuedFds >= CROWDED;
    if (!this.#held) void this.#receive();
  }

  /** The consumer has read or taken something, or asked `inVain`: it needs more than there is. */
  asked(inVain: boolean): void {
    if (!this.#held) return;
    this.#held = false;
    if (inVain) void this.#receive();
    else this.fill();
  }

  /** Offset in the stream of the next byte that the consumer reads. */
  get position(): number {
    return this.#pushed - this.#into.readableLength;
  }

  async #receive(): Promise<void> {
    const { reader } = this;
    try {
      const data = (await reader.ended()) ? null : reader.readNow(reader.queuedBytes);
      // Not in this function: what a listener throws would become a failure of the stream.
      queueMicrotask(() => this.#deliver(data));
    } catch (error) {
      this.#into.destroy(error as Error);
    }
  }

  #deliver(data: Buffer | null): void {
    try {
      // Not of the receive: some may be taken since.
      for (const range of this.reader.rangesSince(this.#pushed)) {
        // By a listener, or since the receive.
        if (this.#into.destroyed) return;
        this.#arrived(range);
      }
    } finally {
      // Even if a listener throws.
      this.#pushed += data?.length ?? 0;
      this.#into.push(data);
      // As net.Socket does: "end" is emitted even if nobody reads.
      if (data === null) this.#into.read(0);
    }
  }
}

/** Calls a stream's callback when a promise has settled, outside of the promise: what the callback throws is an uncaught exception. */
export function settle(promise: Promise<void>, callback: (error?: Error | null) => void): void {
  promise.then(
    () => queueMicrotask(() => callback()),
    (error) => queueMicrotask(() => callback(error)),
  );
}

/** Sends the end of a stream, after its bytes. As in net.Socket, it is no failure that the peer is gone. */
export function finish(socket: UnixStream, callback: (error?: Error | null) => void): void {
  let failure: SystemError | null = null;
  try {
    socket.shutdown("write");
  } catch (error) {
    failure = error as SystemError;
  }
  callback(failure?.code === "ENOTCONN" ? null : failure);
}
