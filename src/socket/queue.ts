/** Operations that wait for their turn, in one direction of a socket. */

import type { Operation } from "./operation.ts";

/** An operation in a queue, and the promise that it settles. */
export class Waiting {
  readonly operation: Operation<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** Stops listening to its AbortSignal. */
  unlisten: (() => void) | null = null;
  /** True while it is prepared: code of the caller's runs then, and may call this socket again. */
  preparing = false;
  /** The neighbours in the ring; null: it is in no queue. */
  next: Waiting | null = null;
  previous: Waiting | null = null;

  constructor(operation: Operation<unknown>, resolve: (value: never) => void, reject: (error: unknown) => void) {
    this.operation = operation;
    this.resolve = resolve as (value: unknown) => void;
    this.reject = reject;
  }
}

/**
 * A queue: a ring, known by its first entry; null: it is empty. It has no object of its own, as each socket has two: they would
 * be a tenth of a socket's memory.
 */
export type Queue = Waiting | null;

/** The number of entries. */
export function lengthOf(queue: Queue): number {
  let length = 0;
  for (let entry = queue; entry !== null; entry = entry.next === queue ? null : entry.next) length++;
  return length;
}

/** The queue with `entry` behind all others. */
export function append(queue: Queue, entry: Waiting): Waiting {
  const first = queue ?? entry;
  const last = first.previous ?? entry;
  entry.previous = last;
  entry.next = first;
  last.next = entry;
  first.previous = entry;
  return first;
}

/** The queue without `entry`, wherever it is in it; a queue that it is not in stays as it is. */
export function remove(queue: Queue, entry: Waiting): Queue {
  const { next, previous } = entry;
  if (next === null || previous === null) return queue;
  entry.next = null;
  entry.previous = null;
  if (next === entry) return null;
  next.previous = previous;
  previous.next = next;
  return queue === entry ? next : queue;
}
