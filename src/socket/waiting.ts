/** Operations that wait: the options of waiting, and an entry of a queue. */

import { type Checks, outOfRange, wrongType } from "../core/errors.ts";
import { inContextOfNow, isAbortSignal } from "../system/builtins.ts";
import type { Timer } from "../system/system.ts";
import type { Operation } from "./operation.ts";
import type { Entry, Queue } from "./queue.ts";

/** How long to wait: `signal` in asynchronous operations, `timeout` in synchronous ones and in `notifyBarrier`. */
export interface WaitOptions {
  /**
   * Cancels the operation if it has not run yet, and rejects its promise with the signal's reason. A message that was already
   * received is still delivered.
   */
  signal?: AbortSignal | undefined;
  /** Milliseconds after which the operation fails with `ETIMEDOUT`; 0: now or never. No limit by default. */
  timeout?: number | undefined;
}

/** Checks of the options that asynchronous operations share, and of those that synchronous operations share. */
export const SIGNAL: Checks = {
  signal(name, value) {
    if (!isAbortSignal(value)) throw wrongType(name, "an AbortSignal", value);
  },
};
export const TIMEOUT: Checks = {
  timeout(name, value) {
    if (typeof value !== "number") throw wrongType(name, "a number of milliseconds", value);
    if (!(value >= 0)) throw outOfRange(name, "at least 0 milliseconds", value);
  },
};

export type Direction = "reading" | "writing";

/** Operations that are served in order: those of a direction, or the sends to one receiver, which do not wait for sends to others. */
export type Line = Direction | `to ${string}`;

/** The sends that wait for one receiver. No readiness reports that a receiver has room, so a timer tries them again. */
export interface Lane {
  queue: Queue<Waiting>;
  timer: Timer | null;
}

/** An operation that waits for its turn, and the promise that it settles. */
export class Waiting implements Entry<Waiting> {
  readonly operation: Operation<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** `operation.prepare()` in the asynchronous context of its caller; null if it runs no code of the caller's. */
  readonly prepare: (() => void) | null;
  /** Stops listening to its AbortSignal. */
  unlisten: (() => void) | null = null;
  /** True during `prepare`: code of the caller's runs then, and may call this socket again. */
  preparing = false;
  next: Waiting | null = null;
  previous: Waiting | null = null;

  constructor(operation: Operation<unknown>, resolve: (value: never) => void, reject: (error: unknown) => void) {
    this.operation = operation;
    this.resolve = resolve as (value: unknown) => void;
    this.reject = reject;
    this.prepare = operation.runsCallersCode ? inContextOfNow(() => operation.prepare()) : null;
  }
}
