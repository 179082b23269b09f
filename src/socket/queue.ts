/** Queues that any entry can leave in constant time. */

/** An entry of a queue, and its neighbours; null: it is in no queue. */
export interface Entry<E> {
  next: E | null;
  previous: E | null;
}

/**
 * A queue: a ring, known by its first entry; null: it is empty. It has no object of its own, as each socket has two: they would
 * be a tenth of a socket's memory.
 */
export type Queue<E extends Entry<E>> = E | null;

/** The number of entries. */
export function lengthOf<E extends Entry<E>>(queue: Queue<E>): number {
  let length = 0;
  for (let entry = queue; entry !== null; entry = entry.next === queue ? null : entry.next) length++;
  return length;
}

/** The queue with `entry` behind all others. */
export function append<E extends Entry<E>>(queue: Queue<E>, entry: E): E {
  const first = queue ?? entry;
  const last = first.previous ?? entry;
  entry.previous = last;
  entry.next = first;
  last.next = entry;
  first.previous = entry;
  return first;
}

/** The queue without `entry`, wherever it is in it; a queue that it is not in stays as it is. */
export function remove<E extends Entry<E>>(queue: Queue<E>, entry: E): Queue<E> {
  const { next, previous } = entry;
  if (next === null || previous === null) return queue;
  entry.next = null;
  entry.previous = null;
  if (next === entry) return null;
  next.previous = previous;
  previous.next = next;
  return queue === entry ? next : queue;
}
