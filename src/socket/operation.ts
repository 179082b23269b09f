/** A call on a socket: prepared, then performed with the socket's number. */

import { min } from "../system/builtins.ts";

/** The result of {@link Operation.perform} when the kernel has nothing yet, or no room. */
export const WAIT: unique symbol = Symbol("wait");

/** After so many wake-ups in a row that brought nothing the next one waits for a moment, {@link pauseAfter}. */
export const LIES = 4;
const PAUSE_MAX_MS = 50;

/**
 * Milliseconds to pause after so many wake-ups in a row that brought nothing; 0: none. The kernel calls some sockets ready for
 * ever, and others take what came first: without a pause such a wait would take a whole processor.
 */
export function pauseAfter(futile: number): number {
  return futile < LIES ? 0 : min(PAUSE_MAX_MS, 1 << min(futile - LIES, 6));
}

/**
 * A call on a socket. It keeps no number: the endpoint hands its own down, after it has checked that it is open and whose turn
 * it is. No code of the caller's runs between that check and the system call.
 */
export abstract class Operation<T> {
  /** The system call that it makes, for its errors. */
  abstract readonly syscall: string;
  /** Milliseconds after which to try again where readiness tells nothing; set by a perform that answers WAIT. */
  retryAfter = 0;

  /**
   * Runs the code of the caller's that belongs to an attempt: the getters of descriptors, once each. It runs before each
   * attempt, and may do anything to the socket.
   */
  prepare(): void {}

  /** Throws now what {@link perform} would throw for its arguments: called where it has to wait for its turn. */
  check(): void {}

  /** Whether {@link prepare} runs code of the caller's: then it runs in the caller's asynchronous context, also when it waited. */
  get runsCallersCode(): boolean {
    return false;
  }

  /** Makes the system call. Throws when it fails for good. */
  abstract perform(fd: number): T | typeof WAIT;

  /** Asked when the socket was ready again and again and the call brought nothing: the error if it never will, or null. */
  stuck(_fd: number): Error | null {
    return null;
  }

  /** Called when it is over without having waited: nothing keeps it any more, and it may serve another call. */
  recycle(): void {}

  /** The reason that an aborted operation is rejected with. */
  withdrawn(reason: unknown): unknown {
    return reason;
  }

  /** The error of an operation whose socket is closed, or whose time is up. */
  failed(error: Error): Error {
    return error;
  }
}
