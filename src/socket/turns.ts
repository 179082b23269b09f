/** One thing after the other, in the order of the calls. */

/** A call that waits; without `begin` it was withdrawn. */
interface Waiting {
  begin: (() => void) | null;
  next: Waiting | null;
}

export class Turns {
  #busy = false;
  /** A list and no array: the front of a long array is taken off in time that grows with its length. */
  #first: Waiting | null = null;
  #last: Waiting | null = null;

  /** Whether nothing runs or waits. */
  get idle(): boolean {
    return !this.#busy;
  }

  /**
   * Runs `run` when those before it are over: at once, if there are none. An abort withdraws what has not begun; afterwards
   * the signal is the business of `run`.
   */
  take<T>(run: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (!this.#busy) return this.#run(run);
    return new Promise((resolve, reject) => {
      const abort = () => {
        waiting.begin = null;
        reject(signal!.reason);
      };
      const begin = () => {
        signal?.removeEventListener("abort", abort);
        this.#run(run).then(resolve, reject);
      };
      const waiting: Waiting = { begin, next: null };
      signal?.addEventListener("abort", abort, { once: true });
      if (this.#last === null) this.#first = waiting;
      else this.#last.next = waiting;
      this.#last = waiting;
    });
  }

  async #run<T>(run: () => Promise<T>): Promise<T> {
    this.#busy = true;
    try {
      return await run();
    } finally {
      this.#next();
    }
  }

  #next(): void {
    this.#busy = false;
    while (this.#first !== null && !this.#busy) {
      const { begin, next } = this.#first;
      this.#first = next;
      if (next === null) this.#last = null;
      begin?.();
    }
  }
}
