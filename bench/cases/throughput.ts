/** Throughput in one direction. */

import { type Case, contest, type Line, rates } from "../case.ts";
import { Contestant } from "../contestant.ts";

const SIZES = { "64 B": 64, "4 KiB": 4096, "64 KiB": 65536, "1 MiB": 1048576 };

/** Left out of the quick run. */
const MIDDLE = 4096;

export const throughput: Case = {
  name: "throughput",
  title: "asynchronous throughput to another process, one way, a descriptor on each message",
  async run({ pace }) {
    const lines: Line[] = [];
    for (const [size, bytes] of Object.entries(SIZES)) {
      if (pace.sample && bytes === MIDDLE) continue;
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
      const mib = bytes / 2 ** 20;
      lines.push(
        rates(`${size}, recvFds`, "MiB/s", mib, fresh, 'net.Socket, no descriptor, "data"', netFresh, target),
        rates(`${size}, recvFdsInto`, "MiB/s", mib, own, "net.Socket, no descriptor, onread", netOwn, target),
        rates(`${size}, recvFdsInto`, "MiB/s", mib, own, "C", c, bytes === 64 ? { atLeast: 0.75 } : null),
      );
    }
    return lines;
  },
};
