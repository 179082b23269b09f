/** Queues that any entry can leave in constant time. */

/** An entry of a queue. Its neighbours are null while it is in no queue. */
export interface Entry<E> {
  next: E | null;
  previous: E | null;
}

/**
 * A queue is a ring of entries, represented by its first entry, or by null when it is empty. There is no queue object: each socket
 * has two queues, and the objects would be a tenth of its memory.
 */
export type Queue<E extends Entry<E>> = E | null;

/** The number of entries. */
export function lengthOf<E extends Entry<E>>(queue: Queue<E>): number {
  let length = 0;
  for (let entry = queue; entry !== null; entry = entry.next === queue ? null : entry.next) length++;
  return length;
}

/** Appends `entry`; returns the queue. */
export function append<E extends Entry<E>>(queue: Queue<E>, entry: E): E {
  const first = queue ?? entry;
  const last = first.previous ?? entry;
  entry.previous = last;
  entry.next = first;
  last.next = entry;
  first.previous = entry;
  return first;
}

/** Removes `entry` from any place; returns the queue. An entry that is in no queue changes nothing. */
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
