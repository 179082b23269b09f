/** Calls on a socket that may have to wait, and what they wait in. */

/** What {@link Operation.attempt} answers when the kernel has to be waited for. */
export const WAIT: unique symbol = Symbol("wait");

/** A call on a socket, from the moment it is made until it is settled. */
export abstract class Operation<T> {
  /** The one behind it in its queue; behind the last, the first. */
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

/**
 * What waits in one direction of a socket, in order: a ring, known by its last; null: nothing waits. No object of its own: a socket
 * has two, which would be a tenth of its memory.
 */
export type Queue = Operation<unknown> | null;

/** Whose turn it is. */
export function firstOf(queue: Queue): Operation<unknown> | null {
  return queue === null ? null : queue.next;
}

export function lengthOf(queue: Queue): number {
  let length = 0;
  for (let one = firstOf(queue); one !== null; one = one === queue ? null : one.next) length++;
  return length;
}

/** The queue with one more behind. */
export function withLast(queue: Queue, operation: Operation<unknown>): Queue {
  operation.next = queue === null ? operation : queue.next;
  if (queue !== null) queue.next = operation;
  return operation;
}

/** The queue without one that may be in it. */
export function without(queue: Queue, operation: Operation<unknown>): Queue {
  if (queue === null) return null;
  let before = queue;
  while (before.next !== operation) {
    before = before.next!;
    if (before === queue) return queue;
  }
  before.next = operation.next;
  operation.next = null;
  if (operation !== queue) return queue;
  return before === operation ? null : before;
}

/** Tells whoever waits for it. */
export function settle<T>(operation: Operation<T>, outcome: { value: T } | { error: unknown }): void {
  operation.outcome = outcome;
  operation.unlisten?.();
  if ("error" in outcome) operation.reject?.(outcome.error);
  else operation.resolve?.(outcome.value);
}
