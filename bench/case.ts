/** The cases of the benchmark, their results, and how their programs take turns. */

import type { Contestant } from "./contestant.ts";
import type { Curve } from "./curve.ts";
import { type Spread, spread } from "./statistics.ts";

/** The length of a measurement. */
export interface Pace {
  /** The number of turns of each program. */
  readonly turns: number;
  /** Milliseconds per turn, approximately. */
  readonly turnMs: number;
  /** Milliseconds that a Node program runs before the first turn: V8 compiles the hot paths meanwhile. */
  readonly warmUpMs: number;
  /** Whether cases of many programs measure a few of them only. */
  readonly sample: boolean;
}

/** The pace for a case of many programs: in a quick run each of them gets half of the warm-up. */
export function shortly(pace: Pace): Pace {
  return pace.sample ? { ...pace, warmUpMs: pace.warmUpMs / 2 } : pace;
}

/** The target of a measurement. */
export type Target = { readonly atMost: number } | { readonly atLeast: number };

/** One line of the table: this library and a rival. */
export interface Line {
  /** The measurement. */
  readonly what: string;
  /** The unit of `ours` and `theirs`: `"ns"`, `"MiB/s"`, `"ms"`, `"KiB"`, something a second. */
  readonly unit: string;
  readonly ours: Spread;
  /** The name of the rival; null if the line has none. */
  readonly rival: string | null;
  readonly theirs: Spread | null;
  /** The value that the target applies to: ours divided by theirs, ours minus theirs, or ours alone. */
  readonly kind: "ratio" | "difference" | "value";
  readonly result: Spread;
  readonly target: Target | null;
}

/** What the benchmark provides to a case. */
export interface Context {
  readonly pace: Pace;
  /** Reports that something cannot be measured on this machine, and why. */
  skip(what: string, why: string): void;
  /** Adds a drawing of cost against size to the chart. */
  draw(curve: Curve): void;
}

/** A case of the benchmark. */
export interface Case {
  /** Its name, for `--only`. */
  readonly name: string;
  readonly title: string;
  run(context: Context): Promise<Line[]>;
}

/** Whether a result meets its target; null if there is no target. */
export function met({ result, target }: Line): boolean | null {
  if (target === null) return null;
  return "atMost" in target ? result.median <= target.atMost : result.median >= target.atLeast;
}

/** A target as text: `<= 1.2`, or an empty string. */
export function showTarget(target: Target | null): string {
  if (target === null) return "";
  return "atMost" in target ? `<= ${target.atMost}` : `>= ${target.atLeast}`;
}

/** Warms a program up, and returns the number of rounds that take one turn. */
async function calibrate(contestant: Contestant, { turnMs, warmUpMs }: Pace): Promise<number> {
  let rounds = 1;
  let ran = 0;
  for (;;) {
    const ns = await contestant.measure(rounds);
    const ms = (ns * rounds) / 1e6;
    ran += ms;
    const perTurn = Math.max(1, Math.round((turnMs * 1e6) / ns));
    if (ms >= turnMs / 4 && (ran >= warmUpMs || !contestant.compilesAsItRuns)) return perTurn;
    // A cold program predicts the speed of a warm one badly.
    rounds = Math.min(perTurn, rounds * 8);
  }
}

/** Nanoseconds per round of each program, turn by turn. */
type Results<Contestants> = { [Name in keyof Contestants]: number[] };

/**
 * Runs programs in turns, and returns their nanoseconds per round. The order is reversed in every other turn, so that no program
 * always runs after the same other one.
 */
export async function takeTurns<Contestants extends Readonly<Record<string, Contestant>>>(
  contestants: Contestants,
  pace: Pace,
): Promise<Results<Contestants>> {
  const entries = Object.entries(contestants);
  // The first answer includes the start of a program and its peer: all must have started before anything is measured.
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

/** {@link takeTurns}; ends the programs afterwards, even after an error. */
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

/** A line of times: lower is better, for the ratio too. */
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

/** A line of rates, from nanoseconds per round: higher is better, for the ratio too. `perRound`: how much of the unit one round is. */
export function rates(
  what: string,
  unit: string,
  perRound: number,
  ours: readonly number[],
  rival: string,
  theirs: readonly number[],
  target: Target | null = null,
): Line {
  const perSecond = (ns: readonly number[]) => spread(ns.map((one) => (perRound / one) * 1e9));
  const result = spread(ours.map((ns, turn) => theirs[turn]! / ns));
  return { what, unit, ours: perSecond(ours), rival, theirs: perSecond(theirs), kind: "ratio", result, target };
}
