/** The side of a contestant: see `bench/contestant.ts`. */

import { createInterface } from "node:readline";

/** Answers each line of stdin in turn: a number of rounds with nanoseconds a round, other lines by `questions`. */
export async function serve(
  run: (rounds: number) => unknown,
  questions: Readonly<Record<string, () => Promise<number>>> = {},
): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const question = questions[line];
    if (question !== undefined) {
      process.stdout.write(`${await question()}\n`);
      continue;
    }
    const rounds = Number(line);
    const start = process.hrtime.bigint();
    const result = run(rounds);
    // A synchronous round is not charged for a turn of the event loop.
    if (result instanceof Promise) await result;
    const ns = Number(process.hrtime.bigint() - start) / rounds;
    process.stdout.write(`${ns}\n`);
  }
}

/** An assertion that is part of what is measured: so short that it does not count. */
export function check(good: boolean, what: string): asserts good {
  if (!good) throw new Error(`not as expected: ${what}`);
}
