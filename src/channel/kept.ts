/** Duplicates of sent descriptors, which a channel keeps until its peer acknowledges them. */

import { wrongType } from "../core/errors.ts";
import { type AsFd, numberOf, readNumbers } from "../fd/as-fd.ts";
import { closeAll, duplicate, type OwnedFd } from "../fd/owned-fd.ts";
import { Fifo } from "../system/fifo.ts";
import type { Platform } from "../system/platform.ts";
import { ChannelError } from "./errors.ts";
import type { Frame } from "./frame.ts";

/** The most duplicates that wait for acknowledgements, if one frame has no more. */
const MAX_KEPT = 1024;

export class KeptFds {
  readonly #platform: Platform;
  readonly #most: number;
  /** The program's: the id of the last frame that a received frame acknowledges. */
  readonly #acknowledges: (frame: Frame) => bigint | null;
  /** Those of each frame, oldest first. */
  readonly #kept = new Fifo<{ readonly id: bigint; readonly fds: OwnedFd[] }>();
  #count = 0;

  /** `maxFds`: the most descriptors in a frame. */
  constructor(platform: Platform, maxFds: number, acknowledges: (frame: Frame) => bigint | null) {
    this.#platform = platform;
    this.#most = Math.max(MAX_KEPT, maxFds);
    this.#acknowledges = acknowledges;
  }

  /**
   * Makes and keeps duplicates of the descriptors of a frame.
   *
   * @param throwIfUnusable called when no code of the caller's runs any more: a getter may have closed the channel
   */
  keep(id: bigint, fds: readonly AsFd[], throwIfUnusable: () => void): readonly OwnedFd[] {
    const all = this.#count + fds.length;
    if (all > this.#most) {
      const text = `expected at most ${this.#most} descriptors that the peer has not acknowledged, got ${all}`;
      throw new ChannelError("ERR_CHANNEL_TOO_MANY_FDS", text);
    }
    const platform = this.#platform;
    const numbers = readNumbers(platform, fds);
    throwIfUnusable();
    if (fds.length === 0) return [];
    const kept: OwnedFd[] = [];
    this.#kept.push({ id, fds: kept });
    for (let i = 0; i < fds.length; i++) {
      kept.push(duplicate(platform, numberOf(platform, fds, numbers, i)));
      this.#count++;
    }
    return kept;
  }

  /** Releases the duplicates of a frame that was not sent, the newest. */
  withdraw(id: bigint): void {
    const newest = this.#kept.at(this.#kept.length - 1);
    if (newest?.id !== id) return;
    this.#close(newest.fds);
    this.#kept.pop();
  }

  /** Releases what a received frame acknowledges. */
  acknowledge(frame: Frame): void {
    try {
      const acknowledges = this.#acknowledges;
      const id = acknowledges(frame);
      if (id === null) return;
      if (typeof id !== "bigint")
        throw wrongType("options.acknowledges", "a function that returns a bigint or null", id);
      this.#release((first) => first <= id);
    } catch (error) {
      // The caller gets no frame.
      frame[Symbol.dispose]();
      throw error;
    }
  }

  /** Releases all of them. */
  close(): void {
    this.#release(() => true);
  }

  /** Releases those of the oldest frames, as many as `is` returns true for. */
  #release(is: (id: bigint) => boolean): void {
    const fds: OwnedFd[] = [];
    let frames = 0;
    for (; frames < this.#kept.length && is(this.#kept.at(frames)!.id); frames++) {
      const frame = this.#kept.at(frames)!.fds;
      for (let i = 0; i < frame.length; i++) fds.push(frame[i]!);
    }
    this.#close(fds);
    this.#kept.take(frames);
  }

  /** Closes duplicates, not on this thread: nobody else may have the files open any more, and the last close may wait. */
  #close(fds: OwnedFd[]): void {
    closeAll(fds, true);
    this.#count -= fds.length;
  }
}
