/** Frames: FdChannel and FdReader. */

import { type Case, contest, type Line, type Pace, rates, shortly, type Target } from "../case.ts";
import { Contestant, processor } from "../contestant.ts";

interface Size {
  readonly name: string;
  readonly bytes: number;
  /** Small frames are counted, large ones weighed. */
  readonly unit: "frames/s" | "MiB/s";
}

const SIZES: readonly Size[] = [
  { name: "20 B", bytes: 20, unit: "frames/s" },
  { name: "64 B", bytes: 64, unit: "frames/s" },
  { name: "4 KiB", bytes: 4096, unit: "frames/s" },
  { name: "64 KiB", bytes: 65536, unit: "MiB/s" },
  { name: "1 MiB", bytes: 2 ** 20, unit: "MiB/s" },
  { name: "256 MiB", bytes: 2 ** 28, unit: "MiB/s" },
];
/** Sizes of the quick run, and descriptors of each frame: those with targets. */
const SAMPLE: Readonly<Record<number, number>> = { 64: 1, [2 ** 20]: 0 };
/** The largest frame that is measured over a seqpacket socket: 16 records of 64 KiB. */
const MOST_IN_RECORDS = 2 ** 20;
/** One frame of 256 MiB takes longer than a turn. */
const HUGE = 2 ** 26;

/** Contestants by name: `channel stream 1` is an FdChannel over a stream socket with a descriptor on each frame. */
function contestantsFor({ bytes }: Size, sample: boolean): Record<string, Contestant> {
  const types = bytes > MOST_IN_RECORDS ? ["stream"] : ["stream", "seqpacket"];
  const all: Record<string, Contestant> = {};
  for (const fds of sample ? [SAMPLE[bytes]!] : [0, 1]) {
    for (const type of types) {
      if (sample && type === "seqpacket" && bytes < MOST_IN_RECORDS) continue;
      all[`channel ${type} ${fds}`] = Contestant.onOneProcessor("frames", "channel", type, bytes, fds);
      if (sample && type === "seqpacket") continue;
      all[`reader ${type} ${fds}`] = Contestant.onOneProcessor("frames", "reader", type, bytes, fds);
      all[`c ${type} ${fds}`] = Contestant.cOnOneProcessor("frames", type, bytes, fds);
    }
    if (!sample || fds > 0) all[`ipc ${fds}`] = Contestant.onOneProcessor("frames-ipc", bytes, fds);
  }
  all.net = Contestant.onOneProcessor("frames-net", bytes);
  if (bytes === 64) all.message = Contestant.onOneProcessor("throughput", bytes, "new");
  return all;
}

/** Targets of FdChannel over a stream socket, by rival. */
function targetOf(rival: string, bytes: number, fds: number): Target | null {
  // At most 1.3 times as long.
  if (rival === "message") return { atLeast: 0.77 };
  return rival === "net" && bytes === 2 ** 20 && fds === 0 ? { atLeast: 0.95 } : null;
}

function linesOf(size: Size, results: Readonly<Record<string, readonly number[]>>): Line[] {
  const { name, bytes, unit } = size;
  const perRound = unit === "MiB/s" ? bytes / 2 ** 20 : 1;
  const lines: Line[] = [];
  for (const fds of [0, 1]) {
    const carried = fds > 0 ? ", a descriptor" : "";
    for (const type of ["stream", "seqpacket"]) {
      for (const [way, title] of [
        ["channel", "FdChannel"],
        ["reader", "FdReader"],
      ] as const) {
        const ours = results[`${way} ${type} ${fds}`];
        if (ours === undefined) continue;
        const rivals: [string, string][] =
          type === "stream"
            ? [
                ["net", "net.Socket, framing in JavaScript"],
                [`ipc ${fds}`, fds > 0 ? "child_process.send, a net.Server" : "child_process.send"],
                [`c stream ${fds}`, "C"],
              ]
            : [
                [`c seqpacket ${fds}`, "C"],
                [`${way} stream ${fds}`, `${title}, stream`],
              ];
        if (way === "channel" && type === "stream" && fds > 0) rivals.push(["message", "a message of UnixStream"]);
        for (const [key, rival] of rivals) {
          const theirs = results[key];
          if (theirs === undefined) continue;
          const target = way === "channel" && type === "stream" ? targetOf(key, bytes, fds) : null;
          lines.push(rates(`${name}, ${title}, ${type}${carried}`, unit, perRound, ours, rival, theirs, target));
        }
      }
    }
  }
  return lines;
}

export const frames: Case = {
  name: "frames",
  title: "frames of 20 bytes and a payload, one way, asynchronous, to another process on the same processor",
  async run({ pace, skip }) {
    const cpu = processor();
    if (cpu instanceof Error) skip("both processes on one processor", cpu.message);
    const lines: Line[] = [];
    for (const size of SIZES) {
      if (pace.sample && !(size.bytes in SAMPLE)) continue;
      const turns: Pace =
        size.bytes < HUGE ? shortly(pace) : { ...pace, turns: Math.ceil(pace.turns / 6), warmUpMs: 0 };
      lines.push(...linesOf(size, await contest(contestantsFor(size, pace.sample), turns)));
    }
    return lines;
  },
};
