/** The main loop of a contestant: see `bench/contestant.ts`. */

import { createInterface } from "node:readline";

/**
 * Answers each line of stdin: a number of rounds with nanoseconds per round, other lines with `questions`. If `run` returns a number, this is
 * the answer, and not the time that it took.
 */
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
    // No `await` for synchronous rounds: it would add a turn of the microtask queue.
    const answer: unknown = result instanceof Promise ? await result : result;
    const ns = Number(process.hrtime.bigint() - start) / rounds;
    process.stdout.write(`${typeof answer === "number" ? answer : ns}\n`);
  }
}

/** An assertion inside the measured code, short enough not to matter. */
export function check(good: boolean, what: string): asserts good {
  if (!good) throw new Error(`failed check: ${what}`);
}
