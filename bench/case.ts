/** What a case is, what it answers with, and how its programs take turns. */

import type { Contestant } from "./contestant.ts";
import { type Spread, spread } from "./statistics.ts";

/** How long to measure. */
export interface Pace {
  /** Turns each program takes. */
  readonly turns: number;
  /** Milliseconds a turn takes, about. */
  readonly turnMs: number;
  /** Milliseconds that a program of Node's runs before the first turn counts: V8 compiles the hot paths meanwhile. */
  readonly warmUpMs: number;
}

/** What a measurement is held to. */
export type Target = { readonly atMost: number } | { readonly atLeast: number };

/** One line of the table: ours beside a rival. */
export interface Line {
  /** What was measured. */
  readonly what: string;
  /** Of `ours` and `theirs`: `"ns"`, `"MiB/s"`, `"ms"`, `"KiB"`. */
  readonly unit: string;
  readonly ours: Spread;
  /** The rival's name; null: the line has none. */
  readonly rival: string | null;
  readonly theirs: Spread | null;
  /** What the target is about: ours by theirs, the difference of both, or ours alone. */
  readonly kind: "ratio" | "difference" | "value";
  readonly result: Spread;
  readonly target: Target | null;
}

/** What a case can ask for and tell. */
export interface Context {
  readonly pace: Pace;
  /** Says loudly that something is not measured here, and why. */
  skip(what: string, why: string): void;
}

/** A part of the benchmark. */
export interface Case {
  /** For `--only`. */
  readonly name: string;
  readonly title: string;
  run(context: Context): Promise<Line[]>;
}

/** Whether a result is what was aimed at; null: there was no aim. */
export function met({ result, target }: Line): boolean | null {
  if (target === null) return null;
  return "atMost" in target ? result.median <= target.atMost : result.median >= target.atLeast;
}

/** `<= 1.2`, or nothing. */
export function showTarget(target: Target | null): string {
  if (target === null) return "";
  return "atMost" in target ? `<= ${target.atMost}` : `>= ${target.atLeast}`;
}

/** Warms a program up until it takes a turn of the wanted length; how many rounds that is. */
async function calibrate(contestant: Contestant, { turnMs, warmUpMs }: Pace): Promise<number> {
  let rounds = 1;
  let ran = 0;
  for (;;) {
    const ns = await contestant.measure(rounds);
    const ms = (ns * rounds) / 1e6;
    ran += ms;
    const fitting = Math.max(1, Math.round((turnMs * 1e6) / ns));
    if (ms >= turnMs / 4 && (ran >= warmUpMs || !contestant.compilesAsItRuns)) return fitting;
    // A cold program says little about how fast it will be.
    rounds = Math.min(fitting, rounds * 8);
  }
}

/** Nanoseconds a round, turn by turn, of each. */
type Results<Contestants> = { [Name in keyof Contestants]: number[] };

/**
 * Lets programs take turns; their nanoseconds a round. The order is reversed in every other turn, so that
 * nobody always runs in another one's wake.
 */
export async function takeTurns<Contestants extends Readonly<Record<string, Contestant>>>(
  contestants: Contestants,
  pace: Pace,
): Promise<Results<Contestants>> {
  const entries = Object.entries(contestants);
  // The start of a program, and of its peer, are in its first answer: all are there before anything is measured.
  for (const [, contestant] of entries) await contestant.measure(1);
  const rounds = new Map<string, number>();
  for (const [name, contestant] of entries) rounds.set(name, await calibrate(contestant, pace));
  const results: Record<string, number[]> = Object.fromEntries(entries.map(([name]) => [name, []]));
  for (let turn = 0; turn < pace.turns; turn++) {
    for (const [name, contestant] of turn % 2 === 0 ? entries : [...entries].reverse()) {
      results[name]!.push(await contestant.measure(rounds.get(name)!));
    }
  }
  return results as Results<Contestants>;
}

/** {@link takeTurns}, after which the programs have ended, whatever happened. */
export async function contest<Contestants extends Readonly<Record<string, Contestant>>>(
  contestants: Contestants,
  pace: Pace,
): Promise<Results<Contestants>> {
  try {
    return await takeTurns(contestants, pace);
  } finally {
    for (const contestant of Object.values(contestants)) await contestant.close();
  }
}

/** A line of times: less is better, and so is a lower ratio. */
export function times(
  what: string,
  ours: readonly number[],
  rival: string,
  theirs: readonly number[],
  target: Target | null = null,
): Line {
  const result = spread(ours.map((ns, turn) => ns / theirs[turn]!));
  return { what, unit: "ns", ours: spread(ours), rival, theirs: spread(theirs), kind: "ratio", result, target };
}
