/** AbortSignals: one listener for each signal, for any number of operations that wait on it. */

import { newAbortController, signals } from "../system/builtins.ts";
import type { System, Timer } from "../system/system.ts";

/** Called when the signal is aborted. */
type Callback = () => void;

interface Subscribers {
  readonly callbacks: Set<Callback>;
  readonly listener: () => void;
}

/** An EventTarget searches all its listeners for each change: 32,000 operations on one signal would take seconds. */
const subscribers = new WeakMap<AbortSignal, Subscribers>();

/**
 * Calls `callback` once, when `signal` is aborted: during this call, if the `addEventListener` of a signal that is not Node's aborts it. The
 * returned function cancels this, and does not throw.
 */
export function onAbort(signal: AbortSignal, callback: Callback): () => void {
  let entry = subscribers.get(signal);
  if (entry === undefined) {
    const callbacks = new Set<Callback>([callback]);
    const listener = () => {
      subscribers.delete(signal);
      for (const call of callbacks) call();
    };
    signals.listen(signal, "abort", listener, { once: true });
    entry = { callbacks, listener };
    subscribers.set(signal, entry);
  }
  const { callbacks, listener } = entry;
  callbacks.add(callback);
  return () => {
    if (!callbacks.delete(callback) || callbacks.size > 0) return;
    if (subscribers.get(signal)?.callbacks !== callbacks) return;
    subscribers.delete(signal);
    try {
      signals.unlisten(signal, "abort", listener);
    } catch {
      // A Proxy of a signal may throw. The listener that remains has no callbacks to call.
    }
  };
}

/** Whether an error is the reason of an aborted signal. */
export function isReason(error: unknown, signal: AbortSignal | undefined): boolean {
  return signal !== undefined && signals.aborted(signal) && error === signals.reason(signal);
}

/** A signal that is aborted at a deadline, or by another signal. */
export class Deadline {
  readonly signal: AbortSignal;
  #timer: Timer;
  readonly #unlisten: (() => void) | undefined;

  /** @param expired the reason of the signal after the deadline, which is a time of the system's clock */
  constructor(system: System, deadline: number, outer: AbortSignal | undefined, expired: () => Error) {
    const controller = newAbortController();
    this.signal = controller.signal;
    if (outer !== undefined) {
      const forward = () => controller.abort(signals.reason(outer));
      this.#unlisten = onAbort(outer, forward);
      // The outer signal may have been aborted before the listener was added.
      if (signals.aborted(outer)) forward();
    }
    const left = Math.min(Math.max(deadline - system.now(), 1), 0x7fffffff);
    this.#timer = system.timer(left, () => {
      // What arrived while this thread was busy is received first.
      this.#timer = system.timer(0, () => controller.abort(expired()));
    });
    // Only the operations with this signal decide whether the process stays alive.
    this.#timer.keepAlive(false);
  }

  close(): void {
    this.#timer.close();
    this.#unlisten?.();
  }
}
