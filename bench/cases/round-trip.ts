/** Synchronous round trips in one process. */

import { type Case, contest, type Line, type Target, times } from "../case.ts";
import { Contestant, pythonContestant, rustContestant } from "../contestant.ts";
import type { Point } from "../curve.ts";
import { spread } from "../statistics.ts";

const COUNTS = [0, 1, 4, 16, 64, 253];
/** Those of the quick run. */
const SAMPLE = [1, 16, 253];
/** Targets, as multiples of the C program's time: descriptors closed one by one, in one batch, and with the low-level API. */
const LIMITS: Readonly<Record<number, readonly number[]>> = { 1: [1.2, 1.2, 1.3], 253: [1.6, 1.08] };
/** Target relative to Python, for one descriptor. */
const PYTHON = 0.45;

export const roundTrip: Case = {
  name: "round-trip",
  title: "synchronous round trip, 64 bytes, descriptors owned and closed on receipt",
  async run({ pace, skip, draw }) {
    const lines: Line[] = [];
    const ours: Point[] = [];
    const inC: Point[] = [];
    for (const count of pace.sample ? SAMPLE : COUNTS) {
      const python = pythonContestant("round_trip", count);
      const rust = rustContestant(count);
      const contestants: Record<string, Contestant> = {
        each: Contestant.node("round-trip", count, "each"),
        ...(count > 0
          ? {
              batch: Contestant.node("round-trip", count, "batch"),
              ancillary: Contestant.node("round-trip", count, "ancillary"),
            }
          : {}),
        c: Contestant.c("round-trip", count),
        // What the kernel takes from every process with threads, as those of Node are: the floor of the targets.
        ...(LIMITS[count] === undefined ? {} : { thread: Contestant.c("round-trip", count, "thread") }),
        ...(python instanceof Error ? {} : { python }),
        ...(rust instanceof Error ? {} : { rust }),
      };
      if (python instanceof Error) skip(`${count} descriptors, Python`, python.message);
      if (rust instanceof Error) skip(`${count} descriptors, Rust`, rust.message);
      const results = await contest(contestants, pace);
      ours.push({ size: count, cost: spread(results.batch ?? results.each!) });
      inC.push({ size: count, cost: spread(results.c!) });
      const plural = `${count} descriptor${count > 1 ? "s" : ""}`;
      for (const [closing, how] of [
        ["each", "one by one"],
        ["batch", "in one batch"],
        ["ancillary", "SocketAncillary"],
      ] as const) {
        const ours = results[closing];
        if (ours === undefined) continue;
        const what =
          count === 0 ? "no descriptor" : closing === "ancillary" ? `${plural}, ${how}` : `${plural}, closed ${how}`;
        const limit = LIMITS[count]?.[["each", "batch", "ancillary"].indexOf(closing)];
        const targets: Record<string, Target | null> = {
          c: limit === undefined ? null : { atMost: limit },
          python: count === 1 && closing !== "ancillary" ? { atMost: PYTHON } : null,
        };
        for (const [name, rival] of [
          ["c", "C"],
          ["python", "Python"],
          ["rust", "Rust (nix)"],
        ] as const) {
          const theirs = results[name];
          if (theirs !== undefined) lines.push(times(what, ours, rival, theirs, targets[name] ?? null));
        }
      }
      if (results.thread !== undefined)
        lines.push(times(`${plural}, C with a second thread`, results.thread, "C", results.c!));
    }
    draw({
      title: "Descriptors of a message",
      sizes: "descriptors",
      costs: "sent, received and closed",
      series: [
        { name: "UnixStream, synchronous", points: ours, expected: "linear" },
        { name: "C", points: inC, expected: null },
      ],
    });
    return lines;
  },
};
