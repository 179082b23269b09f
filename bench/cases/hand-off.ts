/** Accepted connections for another process. */

import { existsSync } from "node:fs";
import { type Case, contest, times } from "../case.ts";
import { Contestant } from "../contestant.ts";
import { spread } from "../statistics.ts";

export const handOff: Case = {
  name: "hand-off",
  title: "connections for another process, 32 at a time: processor time of both processes, for each connection",
  async run({ pace, skip }) {
    if (!existsSync("/proc/self/schedstat")) {
      skip("everything", "needs /proc/PID/schedstat (Linux)");
      return [];
    }
    const { ours, ipc, none } = await contest(
      {
        ours: Contestant.onOneProcessor("hand-off", "ours"),
        ipc: Contestant.onOneProcessor("hand-off", "ipc"),
        none: Contestant.onOneProcessor("hand-off", "none"),
      },
      pace,
    );
    const beyond = (all: number[]) => all.map((ns, turn) => ns - none[turn]!);
    const [our, their] = [beyond(ours), beyond(ipc)];
    return [
      times("a connection, its net.Sockets in both processes included", ours, "child_process.send", ipc),
      {
        ...times("beyond making and destroying the two net.Sockets", our, "child_process.send", their, {
          atMost: 1 / 3,
        }),
        // Of the medians: in a noisy turn the sockets alone can take longer than all did in another.
        result: spread([spread(our).median / spread(their).median]),
      },
    ];
  },
};
