/** Failures of the command: exit codes, and errors with a hint. */

/** Exit codes, as `--help` lists them. */
export const EXIT = {
  DONE: 0,
  FAILED: 1,
  USAGE: 2,
  /** Nothing was received, or fewer descriptors than `--count`; or the control buffer is malformed. */
  NOTHING: 3,
  TIMEOUT: 4,
} as const;

/** The exit codes, and what each means. */
export const EXIT_CODES: readonly (readonly [number, string])[] = [
  [EXIT.DONE, "success"],
  [EXIT.FAILED, "failure"],
  [EXIT.USAGE, "invalid command line"],
  [EXIT.NOTHING, "nothing received, or fewer descriptors than --count; decode: malformed input"],
  [EXIT.TIMEOUT, "--timeout expired"],
];
export const EXIT_OF_EXEC =
  "recv --exec exits with the code of the command (126 or 127 if it cannot be run), or by the signal that ended it";

/** A failure with an exit code of its own. */
export class Failure extends Error {
  readonly exit: number;
  /** What the user can do about it. */
  readonly hint: string | null;
  readonly code: string;

  constructor(exit: number, code: string, message: string, hint: string | null = null) {
    super(message);
    this.exit = exit;
    this.code = code;
    this.hint = hint;
  }
}

/** An invalid command line. */
export function usage(message: string, hint: string | null = null): Failure {
  return new Failure(EXIT.USAGE, "ERR_USAGE", message, hint);
}

/** Any error as a {@link Failure}. Argument errors of the library come from the command line. */
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

/** The name that `word` probably stands for: few letters differ, or it begins with `word`; null if there is none. */
export function nearest(word: string, known: readonly string[]): string | null {
  let best: string | null = null;
  let least = Math.min(3, Math.ceil(word.length / 2));
  for (const name of known) {
    const differs = distance(word, name);
    if (differs < least) {
      best = name;
      least = differs;
    }
  }
  return best ?? known.find((name) => word.length >= 2 && name.startsWith(word)) ?? null;
}

/** The number of letters to change, insert, delete or swap with a neighbour to turn `a` into `b`. */
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
