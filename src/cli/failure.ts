/** What the command fails with: exit codes, and errors that say what to try. */

/** Exit codes, as `--help` lists them. */
export const EXIT = {
  DONE: 0,
  FAILED: 1,
  USAGE: 2,
  /** Nothing came, or less than `--count`; or the control bytes are malformed. */
  NOTHING: 3,
  TIMEOUT: 4,
} as const;

/** A failure with an exit code of its own. */
export class Failure extends Error {
  readonly exit: number;
  /** What to try. */
  readonly hint: string | null;
  readonly code: string;

  constructor(exit: number, code: string, message: string, hint: string | null = null) {
    super(message);
    this.exit = exit;
    this.code = code;
    this.hint = hint;
  }
}

/** A command line that cannot be meant. */
export function usage(message: string, hint: string | null = null): Failure {
  return new Failure(EXIT.USAGE, "ERR_USAGE", message, hint);
}

/** Any error as a {@link Failure}. Values that the library refused came from the command line. */
export function failureOf(error: unknown): Failure {
  if (error instanceof Failure) return error;
  const { message = String(error), code = "ERR_FAILED" } = error as { message?: string; code?: string };
  const exit =
    code === "ERR_MALFORMED_CONTROL"
      ? EXIT.NOTHING
      : error instanceof RangeError || (error instanceof TypeError && code.startsWith("ERR_INVALID_ARG"))
        ? EXIT.USAGE
        : EXIT.FAILED;
  return new Failure(exit, code, message);
}

/** The one of `known` that was probably meant: few letters differ, or it goes on where `given` ends; null: none. */
export function nearest(given: string, known: readonly string[]): string | null {
  let best: string | null = null;
  let least = Math.min(3, Math.ceil(given.length / 2));
  for (const name of known) {
    const differs = distance(given, name);
    if (differs < least) {
      best = name;
      least = differs;
    }
  }
  return best ?? known.find((name) => given.length >= 2 && name.startsWith(given)) ?? null;
}

/** Letters to change, add, leave out or swap with their neighbour to make one word of the other. */
function distance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let least = Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, rows[i - 1]![j - 1]! + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, rows[i - 2]![j - 2]! + 1);
      row.push(least);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}
