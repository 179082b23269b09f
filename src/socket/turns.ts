/** Asynchronous calls that run one after another, in the order of the calls. */

import { signals } from "../system/builtins.ts";
import { onAbort } from "./aborts.ts";
import { append, type Entry, type Queue, remove } from "./queue.ts";

/** A call that waits for its turn. */
class Call implements Entry<Call> {
  readonly run: () => void;
  next: Call | null = null;
  previous: Call | null = null;

  constructor(run: () => void) {
    this.run = run;
  }
}

export class Turns {
  /** Counts a call that fails at once; null, or a promise to wait for before. */
  readonly #counted: () => Promise<void> | null;
  #busy = false;
  #waiting: Queue<Call> = null;

  constructor(counted: () => Promise<void> | null) {
    this.#counted = counted;
  }

  /** Whether no call runs or waits. */
  get idle(): boolean {
    return !this.#busy;
  }

  /**
   * Begins a call. Null if all earlier calls have ended, or a promise to wait for. {@link end} follows when the call has ended. An abort
   * cancels a call that has not begun, which has no end; after that, the call has to handle the signal.
   *
   * The call is an async function, so that it runs in the asynchronous context of its caller after it has waited. It takes no function to
   * run, because a promise and a closure for each call take a tenth of the time of a small frame (2026-11).
   */
  begin(signal?: AbortSignal): Promise<void> | null {
    if (signal !== undefined && signals.aborted(signal)) return this.#refuse(signals.reason(signal));
    if (this.#busy) return this.#wait(signal);
    this.#busy = true;
    return null;
  }

  /** Ends the call that runs. The next one counts as running from now on, although it begins in a later microtask. */
  end(): void {
    const first = this.#waiting;
    if (first === null) this.#busy = false;
    else {
      this.#waiting = remove(first, first);
      first.run();
    }
  }

  /** A loop that catches the reason would block the event loop. */
  async #refuse(reason: unknown): Promise<never> {
    const turn = this.#counted();
    if (turn !== null) await turn;
    throw reason;
  }

  #wait(signal: AbortSignal | undefined): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      let unlisten: (() => void) | undefined;
      let aborted = false;
      const call = new Call(() => {
        unlisten?.();
        resolve();
      });
      if (signal !== undefined)
        unlisten = onAbort(signal, () => {
          aborted = true;
          this.#waiting = remove(this.#waiting, call);
          reject(signals.reason(signal));
        });
      if (!aborted) this.#waiting = append(this.#waiting, call);
    });
  }
}
