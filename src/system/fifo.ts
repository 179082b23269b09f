/** First in, first out. The cost of an entry does not depend on how many wait: `shift` and `splice` of an array move all of them. */

const FEW = 16;

export class Fifo<T> {
  /** Those before {@link #head} were taken, and are undefined. */
  #entries: (T | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#entries.length - this.#head;
  }

  /** The entry at a position, 0 for the oldest; undefined if there is none. */
  at(position: number): T | undefined {
    return this.#entries[this.#head + position];
  }

  push(entry: T): void {
    this.#entries.push(entry);
  }

  /** Takes the oldest. There must be one. */
  shift(): T {
    const entry = this.#entries[this.#head] as T;
    this.#entries[this.#head++] = undefined;
    this.#drop();
    return entry;
  }

  /** Takes the oldest `count`. There must be as many. */
  take(count: number): T[] {
    const taken = new Array<T>(count);
    for (let i = 0; i < count; i++) {
      taken[i] = this.#entries[this.#head] as T;
      this.#entries[this.#head++] = undefined;
    }
    this.#drop();
    return taken;
  }

  /** Takes the newest. There must be one. */
  pop(): T {
    return this.#entries.pop() as T;
  }

  /** Moves the entries when at least as many were taken, and not for each of a few. */
  #drop(): void {
    if (this.#head < FEW || 2 * this.#head < this.#entries.length) return;
    this.#entries = this.#entries.slice(this.#head);
    this.#head = 0;
  }
}
