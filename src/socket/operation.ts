/** A call on a socket: prepared, then performed with the socket's number. */

/** The result of {@link Operation.perform} when the kernel has nothing yet, or no room. */
export const WAIT: unique symbol = Symbol("wait");

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

  /** Makes the system call. Throws when it fails for good. */
  abstract perform(fd: number): T | typeof WAIT;

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
