/** Asynchronous calls that run one after another, in the order of the calls. */

import { signals } from "../system/builtins.ts";
import { onAbort } from "./aborts.ts";
import { append, type Entry, type Queue, remove } from "./queue.ts";

/** A call that waits for its turn. */
class Call implements Entry<Call> {
  readonly begin: () => void;
  next: Call | null = null;
  previous: Call | null = null;

  constructor(begin: () => void) {
    this.begin = begin;
  }
}

export class Turns {
  #busy = false;
  #waiting: Queue<Call> = null;

  /** Whether no call runs or waits. */
  get idle(): boolean {
    return !this.#busy;
  }

  /**
   * Runs `run` when all earlier calls have ended, or at once if there are none. An abort cancels a call that has not begun; after
   * that, `run` has to handle the signal.
   */
  take<T>(run: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (signal !== undefined && signals.aborted(signal)) return Promise.reject(signals.reason(signal));
    return this.#busy ? this.#wait(run, signal) : this.#run(run);
  }

  /** An async function of its own: after its `await`, `run` runs in the asynchronous context of its caller. */
  async #wait<T>(run: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    await new Promise<void>((resolve, reject) => {
      let unlisten: (() => void) | undefined;
      const call = new Call(() => {
        unlisten?.();
        resolve();
      });
      if (signal !== undefined)
        unlisten = onAbort(signal, () => {
          this.#waiting = remove(this.#waiting, call);
          reject(signals.reason(signal));
        });
      this.#waiting = append(this.#waiting, call);
    });
    return this.#run(run);
  }

  async #run<T>(run: () => Promise<T>): Promise<T> {
    this.#busy = true;
    try {
      return await run();
    } finally {
      const first = this.#waiting;
      // The next call counts as running from now on, although it begins in a later microtask.
      if (first === null) this.#busy = false;
      else {
        this.#waiting = remove(first, first);
        first.begin();
      }
    }
  }
}
