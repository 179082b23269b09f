/** Calls on a socket that may have to wait, and what they wait in. */

/** What {@link Operation.attempt} answers when the kernel has to be waited for. */
export const WAIT: unique symbol = Symbol("wait");

/** A call on a socket, from the moment it is made until it is settled. */
export abstract class Operation<T> {
  /** The one behind it in its queue. */
  next: Operation<unknown> | null = null;
  /** Settle the promise of an asynchronous call. */
  resolve?(value: T): void;
  reject?(error: unknown): void;
  /** Lets go of its AbortSignal. */
  unlisten: (() => void) | null = null;
  /** While it is attempted out of its queue: getters of the caller's run then, and may call this socket again. */
  attempting = false;
  outcome: { value: T } | { error: unknown } | null = null;
  /** The system call it makes, for its errors. */
  abstract get syscall(): string;
  /** Milliseconds after which to try again, where readiness says nothing: set by an attempt that answers WAIT. */
  retryAfter = 0;

  /** Tries once. Throws when it fails for good. */
  abstract attempt(): T | typeof WAIT;

  /** What a withdrawn operation is rejected with. */
  withdrawn(reason: unknown): unknown {
    return reason;
  }

  /** What it fails with when its socket is closed or its time is up. */
  failed(error: Error): Error {
    return error;
  }
}

/** What waits in one direction of a socket. Linked: the array of a single operation would be larger than the operation. */
export class Queue {
  first: Operation<unknown> | null = null;
  #last: Operation<unknown> | null = null;

  get length(): number {
    let length = 0;
    for (let one = this.first; one !== null; one = one.next) length++;
    return length;
  }

  push(operation: Operation<unknown>): void {
    if (this.#last === null) this.first = operation;
    else this.#last.next = operation;
    this.#last = operation;
  }

  shift(): Operation<unknown> | null {
    const { first } = this;
    if (first !== null) this.remove(first);
    return first;
  }

  remove(operation: Operation<unknown>): void {
    let before: Operation<unknown> | null = null;
    for (let one = this.first; one !== null; before = one, one = one.next) {
      if (one !== operation) continue;
      if (before === null) this.first = one.next;
      else before.next = one.next;
      if (this.#last === one) this.#last = before;
      one.next = null;
      return;
    }
  }
}

/** Tells whoever waits for it. */
export function settle<T>(operation: Operation<T>, outcome: { value: T } | { error: unknown }): void {
  operation.outcome = outcome;
  operation.unlisten?.();
  if ("error" in outcome) operation.reject?.(outcome.error);
  else operation.resolve?.(outcome.value);
}
