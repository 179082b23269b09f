/** Many connections, few of them active. */

import { type Case, type Line, type Pace, takeTurns, times } from "../case.ts";
import { Contestant, descriptorLimit, processor } from "../contestant.ts";
import { spread } from "../statistics.ts";

const COUNTS = [10, 100, 1_000, 10_000, 20_000];
/** The most of the quick run: more take seconds to open. */
const MOST_QUICKLY = 1_000;
/** The most descriptors of a process besides its connections. */
const OTHERS = 100;

/** A thousand connections are too few to measure memory: a heap grows by megabytes at a time, and the same server gave 0.8 to 2.9 KiB. */
const MEMORY_OF = 10_000;

export const connections: Case = {
  name: "connections",
  title: "many connections, one in a hundred active, a descriptor each way, on one processor",
  async run({ pace, skip, draw }) {
    const cpu = processor();
    if (cpu instanceof Error) skip("both processes on one processor", cpu.message);
    const wanted = COUNTS.filter((count) => !pace.sample || count <= MOST_QUICKLY);
    const limit = descriptorLimit(Math.max(...wanted, MEMORY_OF) + OTHERS);
    const found = wanted.map((count) => {
      const possible = Math.min(count, limit - OTHERS);
      if (possible < count) {
        const why = `a process may have ${limit} descriptors (ulimit -Hn): ${possible.toLocaleString("en")} in their place`;
        skip(`${count.toLocaleString("en")} connections`, why);
      }
      return possible;
    });
    const counts = [...new Set(found)];
    const contestants: Record<string, Contestant> = {};
    const memory: Line[] = [];
    let results: Record<string, number[]>;
    try {
      for (const count of counts) {
        contestants[`ours ${count}`] = Contestant.onOneProcessor("connections", count);
        contestants[`net ${count}`] = Contestant.onOneProcessor("connections-net", count);
      }
      results = await takeTurns(contestants, pace);
      if (limit >= MEMORY_OF + OTHERS) memory.push(await memoryLine(pace));
    } finally {
      for (const contestant of Object.values(contestants)) await contestant.close();
    }
    const few = counts[0]!;
    const points = (whose: string) =>
      counts.map((count) => ({ size: count, cost: spread(results[`${whose} ${count}`]!) }));
    draw({
      title: "Connections of a server",
      sizes: "connections",
      costs: "a message each way, on one in a hundred",
      series: [
        { name: "UnixStream, a descriptor each way", points: points("ours"), expected: "flat" },
        { name: "net.Socket, no descriptor", points: points("net"), expected: null },
      ],
    });
    return [
      ...counts.map((count) =>
        times(
          `${count.toLocaleString("en")} connections`,
          results[`ours ${count}`]!,
          "net.Socket, no descriptor",
          results[`net ${count}`]!,
        ),
      ),
      ...counts
        .slice(1)
        .map((count) =>
          times(
            `${count.toLocaleString("en")} connections`,
            results[`ours ${count}`]!,
            `ours with ${few}`,
            results[`ours ${few}`]!,
            { atMost: 1.1 },
          ),
        ),
      ...memory,
    ];
  },
};

async function memoryLine(pace: Pace): Promise<Line> {
  const bytes: Record<"ours" | "net", number[]> = { ours: [], net: [] };
  for (let i = 0; i < Math.ceil(pace.turns / 10); i++) {
    // Both at the same time, as each of them waits for seconds.
    const answers = [memoryOf("connections", MEMORY_OF), memoryOf("connections-net", MEMORY_OF)] as const;
    const [ours, net] = await Promise.all(answers);
    bytes.ours.push(ours / 1024);
    bytes.net.push(net / 1024);
  }
  const result = spread(bytes.ours);
  return {
    what: `${MEMORY_OF.toLocaleString("en")} connections, memory of each`,
    unit: "KiB",
    ours: result,
    rival: "net.Socket",
    theirs: spread(bytes.net),
    kind: "value",
    result,
    target: { atMost: 1.2 },
  };
}

/** Resident bytes per connection of a new, idle server. */
async function memoryOf(name: string, count: number): Promise<number> {
  const contestant = Contestant.node(name, count, "memory");
  try {
    return await contestant.ask("memory");
  } finally {
    await contestant.close();
  }
}
