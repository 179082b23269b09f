/** A server whose clients come and go. */

import { join } from "node:path";
import type { Case, Line, Pace } from "../case.ts";
import { Contestant, inFolder, processor } from "../contestant.ts";
import { spread } from "../statistics.ts";

const CLIENTS = 1000;
/** As many are connected at a time. */
const AT_A_TIME = 100;

interface Result {
  readonly perSecond: number[];
  readonly p50: number[];
  readonly p99: number[];
}

/** The clients, and how many nanoseconds each of them took, turn by turn. */
async function measure(clients: Contestant, count: number, into: Result): Promise<void> {
  into.perSecond.push(1e9 / (await clients.measure(count)));
  into.p50.push((await clients.ask("p50")) / 1e6);
  into.p99.push((await clients.ask("p99")) / 1e6);
}

async function warmUp(clients: Contestant, { warmUpMs }: Pace): Promise<void> {
  for (const end = Date.now() + warmUpMs; Date.now() < end; ) await clients.measure(100);
}

/** The results of this library and of net.Server. */
async function takeTurns(folder: string, pace: Pace): Promise<[Result, Result]> {
  const sideOf = (whose: "ours" | "net") => {
    const path = join(folder, whose);
    const result: Result = { perSecond: [], p50: [], p99: [] };
    const listening = Contestant.onOneProcessor("accept", path, whose);
    return {
      result,
      listening,
      clients: Contestant.cOnOneProcessor("clients", path, whose === "ours" ? 1 : 0, AT_A_TIME),
    };
  };
  const sides = [sideOf("ours"), sideOf("net")] as const;
  try {
    for (const { listening, clients } of sides) {
      await listening.ask("ready");
      await warmUp(clients, pace);
    }
    for (let turn = 0; turn < pace.turns; turn++) {
      for (const { clients, result } of turn % 2 === 0 ? sides : [...sides].reverse())
        await measure(clients, CLIENTS, result);
    }
    return [sides[0].result, sides[1].result];
  } finally {
    for (const { listening, clients } of sides) {
      await clients.close();
      await listening.close();
    }
  }
}

export const server: Case = {
  name: "server",
  title: `a server on one processor with its clients, which are in C: ${CLIENTS.toLocaleString("en")} connect, ${AT_A_TIME} at a time, send a request with a descriptor, get an answer, leave`,
  async run({ pace, skip }) {
    const cpu = processor();
    if (cpu instanceof Error) skip("both processes on one processor", cpu.message);
    const [ours, net] = await inFolder((folder) => takeTurns(folder, pace));
    const line = (what: string, unit: string, key: keyof Result): Line => ({
      what,
      unit,
      ours: spread(ours[key]),
      rival: "net.Server, no descriptor",
      theirs: spread(net[key]),
      kind: "ratio",
      result: spread(ours[key].map((value, turn) => value / net[key][turn]!)),
      target: null,
    });
    return [
      line("connections", "connections/s", "perSecond"),
      line("from connect to answer, median", "ms", "p50"),
      line("from connect to answer, p99", "ms", "p99"),
    ];
  },
};
