/** Waiting: with a timeout, and interrupted by signals. */

import { constants } from "node:os";
import { EXIT, Failure } from "./failure.ts";

/** How a command ends: with an exit code, or by a signal that ended it or the program it ran. */
export type Exit = number | NodeJS.Signals;

/** Ends a wait after a signal, so that the socket's file is removed before the process ends. */
export class Interrupted extends Error {
  readonly signal: NodeJS.Signals;

  constructor(signal: NodeJS.Signals) {
    super(signal);
    this.signal = signal;
  }
}

/** Runs `body`; a signal aborts its `interrupt`, with {@link Interrupted} as the reason. */
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

/** Runs `body`, whose signal is aborted when the time is up, with `failure` as the message, or with `interrupt`. */
export async function within<T>(
  milliseconds: number | null,
  failure: string,
  interrupt: AbortSignal,
  body: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (milliseconds === null) return body(interrupt);
  const controller = new AbortController();
  const timer = setTimeout(
    () => controller.abort(new Failure(EXIT.TIMEOUT, "ETIMEDOUT", `${failure} within ${milliseconds / 1000} s`)),
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

/** Ends this process with a code or by a signal; if the signal does not end it, with the code that a shell reports for it. */
export function end(exit: Exit): void {
  if (typeof exit === "number") {
    process.exitCode = exit;
    return;
  }
  process.exitCode = 128 + constants.signals[exit];
  process.removeAllListeners(exit);
  process.kill(process.pid, exit);
}
