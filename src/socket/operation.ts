/** Operations: calls on a socket, which are prepared, then performed with the socket's number. */

import { min } from "../system/builtins.ts";

/** The result of {@link Operation.perform} when the kernel has no message yet, or no room. */
export const WAIT: unique symbol = Symbol("wait");

/** After this many wake-ups in a row in which a receive found nothing, the next attempt is delayed by {@link pauseAfter}. */
export const LIES = 4;
const PAUSE_MAX_MS = 50;

/**
 * Milliseconds to pause after this many wake-ups in a row in which a receive found nothing. The kernel reports some sockets as
 * ready for ever, and another process may take the messages first: without a pause such a wait would use a whole processor.
 */
export function pauseAfter(futile: number): number {
  return futile < LIES ? 0 : min(PAUSE_MAX_MS, 1 << min(futile - LIES, 6));
}

/**
 * A call on a socket. It does not store the socket's number: the endpoint passes it to `perform`, after it has checked that the
 * socket is open and that it is this operation's turn. No code of the caller's runs between that check and the system call.
 */
export abstract class Operation<T> {
  /** The name of the system call, for errors. */
  abstract readonly syscall: string;
  /** Milliseconds until the next attempt, where readiness does not report what to wait for. Set when `perform` returns WAIT. */
  retryAfter = 0;

  /**
   * Runs the code of the caller's that an attempt needs: the getter of each descriptor, once. Called before each attempt. The
   * getters may do anything to the socket.
   */
  prepare(): void {}

  /** Throws what {@link perform} would throw for its arguments. Called when code of the caller's may run before its turn. */
  check(): void {}

  /** Whether {@link prepare} runs code of the caller's. If so, it runs in the caller's asynchronous context, even after waiting. */
  get runsCallersCode(): boolean {
    return false;
  }

  /** Makes the system call. Throws when it fails, except where it has to wait. */
  abstract perform(fd: number): T | typeof WAIT;

  /** Called when the socket was ready several times and the call found nothing. The error if it can never succeed, or null. */
  stuck(_fd: number): Error | null {
    return null;
  }

  /** Called when the operation has succeeded: no reference to it is left, and it may be reused for another call. */
  recycle(): void {}

  /** The value that an aborted operation is rejected with. */
  withdrawn(reason: unknown): unknown {
    return reason;
  }

  /** The error of an operation whose socket was closed or whose timeout has passed. */
  failed(error: Error): Error {
    return error;
  }
}
