/** How long the command waits, and what it does when it is told to stop. */

import { constants } from "node:os";
import { EXIT, Failure } from "./failure.ts";

/** How a command ends: with an exit code, or by a signal, as what it ran or it itself was ended. */
export type Outcome = number | NodeJS.Signals;

/** Thrown out of a wait by a signal, so that what was made is removed first. */
export class Interrupted extends Error {
  readonly signal: NodeJS.Signals;

  constructor(signal: NodeJS.Signals) {
    super(signal);
    this.signal = signal;
  }
}

/** Runs something that a signal cuts short: `interrupt` is aborted then, with {@link Interrupted}. */
export async function interruptible<T>(body: (interrupt: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const stop = (signal: NodeJS.Signals) => controller.abort(new Interrupted(signal));
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, stop);
  try {
    return await body(controller.signal);
  } finally {
    for (const signal of signals) process.off(signal, stop);
  }
}

/** Runs something that is aborted when its time is up, or with `interrupt`. */
export async function within<T>(
  milliseconds: number | null,
  what: string,
  interrupt: AbortSignal,
  body: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (milliseconds === null) return body(interrupt);
  const controller = new AbortController();
  const timer = setTimeout(
    () => controller.abort(new Failure(EXIT.TIMEOUT, "ETIMEDOUT", `${what} within ${milliseconds / 1000} s`)),
    milliseconds,
  );
  const stop = () => controller.abort(interrupt.reason);
  if (interrupt.aborted) stop();
  interrupt.addEventListener("abort", stop, { once: true });
  try {
    return await body(controller.signal);
  } finally {
    clearTimeout(timer);
    interrupt.removeEventListener("abort", stop);
  }
}

/** Ends this process as `outcome` says; where a signal does not end it, with the code that a shell gives for it. */
export function end(outcome: Outcome): void {
  if (typeof outcome === "number") {
    process.exitCode = outcome;
    return;
  }
  process.exitCode = 128 + constants.signals[outcome];
  process.removeAllListeners(outcome);
  process.kill(process.pid, outcome);
}
