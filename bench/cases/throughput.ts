/** Throughput in one direction. */

import { type Case, contest, type Line } from "../case.ts";
import { Contestant } from "../contestant.ts";
import { spread } from "../statistics.ts";

const SIZES = { "64 B": 64, "4 KiB": 4096, "64 KiB": 65536, "1 MiB": 1048576 };

/** A line of throughputs: higher is better, for the ratio too. */
function rates(
  what: string,
  bytes: number,
  ours: readonly number[],
  rival: string,
  theirs: readonly number[],
  target: Line["target"],
): Line {
  const perSecond = (ns: readonly number[]) => spread(ns.map((one) => (bytes / one) * (1e9 / 2 ** 20)));
  const result = spread(ours.map((ns, turn) => theirs[turn]! / ns));
  return {
    what,
    unit: "MiB/s",
    ours: perSecond(ours),
    rival,
    theirs: perSecond(theirs),
    kind: "ratio",
    result,
    target,
  };
}

export const throughput: Case = {
  name: "throughput",
  title: "asynchronous throughput to another process, one way, a descriptor on each message",
  async run({ pace }) {
    const lines: Line[] = [];
    for (const [size, bytes] of Object.entries(SIZES)) {
      const results = await contest(
        {
          own: Contestant.node("throughput", bytes, "own"),
          fresh: Contestant.node("throughput", bytes, "new"),
          netOwn: Contestant.node("throughput-net", bytes, "own"),
          netFresh: Contestant.node("throughput-net", bytes, "new"),
          c: Contestant.c("throughput", bytes),
        },
        pace,
      );
      const target = bytes >= 65536 ? { atLeast: 0.95 } : null;
      const { own, fresh, netOwn, netFresh, c } = results;
      lines.push(
        rates(`${size}, recvFds`, bytes, fresh, 'net.Socket, no descriptor, "data"', netFresh, target),
        rates(`${size}, recvFdsInto`, bytes, own, "net.Socket, no descriptor, onread", netOwn, target),
        rates(`${size}, recvFdsInto`, bytes, own, "C", c, null),
      );
    }
    return lines;
  },
};
