/** The cost of one event against what is queued, or open. */

import { type Case, type Context, shortly, takeTurns } from "../case.ts";
import { Contestant, descriptorLimit } from "../contestant.ts";
import { type Series, showSize, showTime } from "../curve.ts";
import { spread } from "../statistics.ts";

const QUEUED = Array.from({ length: 9 }, (_, i) => 2 ** (10 + 2 * i));
const SOCKETS = [10, 100, 1_000, 10_000];
/** Those of the quick run. */
const SAMPLE: readonly number[] = [2 ** 10, 2 ** 20, 10, 1_000];
/** Events in a turn, and before the first turn: V8 compiles meanwhile. */
const EVENTS = 64;
const WARM_UP = 1024;
/** An event that costs so much is measured a few times, and with no more bytes: to queue them would take minutes. */
const SLOW_NS = 5e6;
const FEW = 4;
/** Sizes that are measured in any case. */
const ALWAYS = 65536;

/** One series for each kind, from results by `KIND SIZE`; a series may end before the last size. */
function seriesOf(
  kinds: Readonly<Record<string, string>>,
  sizes: readonly number[],
  results: Readonly<Record<string, readonly number[]>>,
): Series[] {
  return Object.entries(kinds).map(([kind, name]) => ({
    name,
    expected: "flat",
    points: sizes
      .filter((size) => `${kind} ${size}` in results)
      .map((size) => ({ size, cost: spread(results[`${kind} ${size}`]!) })),
  }));
}

/** Bytes queued in a reader. A program answers with the median of its events, so their number is the same in each turn. */
async function queued({ pace, skip, draw }: Context): Promise<void> {
  const sizes = QUEUED.filter((size) => !pace.sample || SAMPLE.includes(size));
  const kinds = { stream: "FdReader, stream", seqpacket: "FdReader, seqpacket" };
  const programs: { key: string; contestant: Contestant; events: number }[] = [];
  const results: Record<string, number[]> = {};
  try {
    for (const [kind, name] of Object.entries(kinds)) {
      for (const size of sizes) {
        const key = `${kind} ${size}`;
        const contestant = Contestant.node("queued", kind, size);
        const program = { key, contestant, events: EVENTS };
        programs.push(program);
        results[key] = [];
        // The first events are slow for reasons of their own.
        await contestant.measure(FEW);
        const ns = await contestant.measure(FEW);
        if (ns < SLOW_NS || size <= ALWAYS) await contestant.measure(WARM_UP);
        else {
          program.events = FEW;
          if (size < sizes.at(-1)!)
            skip(`${name}, more than ${showSize(size, "bytes")}`, `an event takes ${showTime(ns)}`);
          break;
        }
      }
    }
    for (let turn = 0; turn < pace.turns; turn++) {
      for (const { key, contestant, events } of turn % 2 === 0 ? programs : [...programs].reverse())
        results[key]!.push(await contestant.measure(events));
    }
  } finally {
    for (const { contestant } of programs) await contestant.close();
  }
  draw({
    title: "Bytes queued in a reader",
    sizes: "bytes",
    costs: "one byte sent and received",
    series: seriesOf(kinds, sizes, results),
  });
}

/** Sockets open. */
async function sockets({ pace, skip, draw }: Context): Promise<void> {
  const limit = descriptorLimit(SOCKETS.at(-1)!);
  const sizes = SOCKETS.filter((size) => {
    if (pace.sample && !SAMPLE.includes(size)) return false;
    if (size <= limit) return true;
    skip(`${size.toLocaleString("en")} sockets`, `a process may have ${limit} (ulimit -Hn)`);
    return false;
  });
  const kinds = { exchange: "a message each way", open: "a pair opened and closed" };
  const contestants: Record<string, Contestant> = {};
  try {
    for (const kind of Object.keys(kinds))
      for (const size of sizes) contestants[`${kind} ${size}`] = Contestant.node("sockets", size, kind);
    const results = await takeTurns(contestants, shortly(pace));
    draw({
      title: "Sockets open, each of which waits",
      sizes: "sockets",
      costs: "a round on another one, in the same process",
      series: seriesOf(kinds, sizes, results),
    });
  } finally {
    for (const contestant of Object.values(contestants)) await contestant.close();
  }
}

export const cost: Case = {
  name: "cost",
  title: "the cost of one event against what is queued, or open",
  async run(context) {
    await queued(context);
    await sockets(context);
    return [];
  },
};
