/** AbortSignals: one listener for each signal, for any number of operations that wait on it. */

import { signals } from "../system/builtins.ts";

/** Called when the signal is aborted. */
type Callback = () => void;

interface Subscribers {
  readonly callbacks: Set<Callback>;
  readonly listener: () => void;
}

/** An EventTarget searches all its listeners for each change: 32,000 operations on one signal would take seconds. */
const subscribers = new WeakMap<AbortSignal, Subscribers>();

/** Calls `callback` once, when `signal` is aborted. The returned function cancels this, and does not throw. */
export function onAbort(signal: AbortSignal, callback: Callback): () => void {
  let entry = subscribers.get(signal);
  if (entry === undefined) {
    const callbacks = new Set<Callback>();
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
