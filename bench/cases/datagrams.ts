/** Datagrams and records, beside the packages that send them without descriptors. */

import { type Case, contest, shortly, times } from "../case.ts";
import { Contestant, inFolder, needsRival } from "../contestant.ts";

/** Ways to send, and the packages that know them. */
const WAYS = [
  ["named", "UnixDatagram, by path", ["node-unix-socket", "unix-dgram"]],
  ["connected", "UnixDatagram, connected", ["unix-dgram"]],
  ["seqpacket", "UnixSeqpacket", ["node-unix-socket"]],
] as const;
const VERSIONS = { "node-unix-socket": "0.2.7", "unix-dgram": "2.0.7" } as const;

export const datagrams: Case = {
  name: "datagrams",
  title: "asynchronous round trip between two sockets of one process, 64 bytes",
  async run({ pace, skip }) {
    const missing = new Map<string, Error>();
    for (const [name, version] of Object.entries(VERSIONS)) {
      const why = needsRival(name);
      if (why === null) continue;
      skip(`${name} ${version}`, why.message);
      missing.set(name, why);
    }
    const counts = pace.sample ? [0] : [0, 1];
    return inFolder(async (folder) => {
      const contestants: Record<string, Contestant> = {};
      for (const [kind, , rivals] of WAYS) {
        for (const fds of counts) contestants[`${kind} ${fds}`] = Contestant.node("datagrams", kind, fds, folder);
        for (const rival of rivals) {
          if (!missing.has(rival))
            contestants[`${kind} ${rival}`] = Contestant.node("datagrams-rivals", rival, kind, folder);
        }
      }
      const results = await contest(contestants, shortly(pace));
      return WAYS.flatMap(([kind, title, rivals]) =>
        counts.flatMap((fds) =>
          rivals.flatMap((rival) => {
            const theirs = results[`${kind} ${rival}`];
            const what = `${title}${fds > 0 ? ", a descriptor each way" : ""}`;
            const name = `${rival} ${VERSIONS[rival]}${fds > 0 ? ", no descriptor" : ""}`;
            return theirs === undefined ? [] : [times(what, results[`${kind} ${fds}`]!, name, theirs)];
          }),
        ),
      );
    });
  },
};
