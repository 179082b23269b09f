/** What a peer that floods one socket costs another. */

import { join } from "node:path";
import { type Case, type Line, type Pace, shortly } from "../case.ts";
import { Contestant, inFolder } from "../contestant.ts";
import { spread } from "../statistics.ts";

const FLOODS = {
  none: "no flood",
  frames: "a flood of empty frames to an FdChannel",
  messages: "a flood of messages of 64 B",
  connections: "a flood of connections",
} as const;
/** Those of the quick run. */
const SAMPLE: readonly string[] = ["frames", "connections"];
/** "At most a few milliseconds." */
const MOST_MS = 5;
/** A 99th percentile needs more rounds than fit into a turn of the other cases. */
const TURNS_EACH = 4;

interface Side {
  readonly server: Contestant;
  readonly victim: Contestant;
  readonly ms: number[];
}

async function sideOf(folder: string, kind: string, whose: "ours" | "net"): Promise<Side> {
  const names = [join(folder, `${whose}-${kind}-victim`), join(folder, `${whose}-${kind}-flood`)] as const;
  const server = Contestant.node("fairness", ...names, kind, whose);
  await server.ask("ready");
  return { server, victim: Contestant.c("fairness", ...names, kind), ms: [] };
}

async function close({ server, victim }: Side): Promise<void> {
  await victim.close();
  await server.close();
}

/** Milliseconds, turn by turn, of this library and of net.Socket. */
async function takeTurns(folder: string, kind: keyof typeof FLOODS, pace: Pace): Promise<[number[], number[]]> {
  const sides: Side[] = [];
  try {
    sides.push(...(await Promise.all([sideOf(folder, kind, "ours"), sideOf(folder, kind, "net")])));
    for (const { victim } of sides) await victim.measure(shortly(pace).warmUpMs / 2);
    for (let turn = 0; turn < pace.turns; turn++) {
      for (const { victim, ms } of turn % 2 === 0 ? sides : [...sides].reverse())
        ms.push((await victim.measure(TURNS_EACH * pace.turnMs)) / 1e6);
    }
    for (const { server } of sides) {
      if (kind !== "none" && (await server.ask("taken")) === 0) throw new Error(`${FLOODS[kind]}: nothing came`);
    }
    return [sides[0]!.ms, sides[1]!.ms];
  } finally {
    for (const side of sides) await close(side);
  }
}

export const fairness: Case = {
  name: "fairness",
  title: "the answer to a victim on one socket while a peer floods another one of the same server",
  run({ pace }) {
    return inFolder(async (folder) => {
      const lines: Line[] = [];
      for (const kind of Object.keys(FLOODS) as (keyof typeof FLOODS)[]) {
        if (pace.sample && !SAMPLE.includes(kind)) continue;
        const [ours, net] = await takeTurns(folder, kind, pace);
        lines.push({
          what: `p99, ${FLOODS[kind]}`,
          unit: "ms",
          ours: spread(ours),
          rival: "net.Socket",
          theirs: spread(net),
          kind: "value",
          result: spread(ours),
          target: kind === "none" ? null : { atMost: MOST_MS },
        });
      }
      return lines;
    });
  },
};
