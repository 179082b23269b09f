/** The codec beside the C macros. */

import { type Case, contest, type Line, times } from "../case.ts";
import { Contestant } from "../contestant.ts";

/** Descriptors a message, messages: one message with one, with the most, 64 KiB of messages with one. */
const BUFFERS = { "1 descriptor": [1, 1], "253 descriptors": [253, 1], "64 KiB of messages": [1, 2730] } as const;

export const codec: Case = {
  name: "codec",
  title: "the codec beside the C macros, compiled with -O2",
  async run({ pace }) {
    const lines: Line[] = [];
    for (const [name, [fds, messages]] of Object.entries(BUFFERS)) {
      for (const what of ["encode", "decode", "verdict"] as const) {
        // A send makes one message; a receive takes whatever comes, and its verdict decodes it.
        const inPlace = what === "verdict" || (what === "encode" && messages === 1);
        const results = await contest<string>(
          {
            public: Contestant.node("codec", "public", what, fds, messages),
            ...(inPlace ? { inPlace: Contestant.node("codec", "in-place", what, fds, messages) } : {}),
            c: Contestant.c("codec", what, fds, messages),
          },
          pace,
        );
        const one = fds * messages === 1;
        const target = one && what === "decode" ? { atMost: 2 } : null;
        lines.push(times(`${what}, ${name}, by Codec`, results.public!, "C", results.c!, target));
        if (results.inPlace === undefined) continue;
        // The verdict of a receive decodes too: it is held to the target of the decoding.
        const verdict = one && what === "verdict" ? { atMost: 2 } : null;
        const how = what === "encode" ? "as a send does" : "as a receive does";
        lines.push(times(`${what}, ${name}, ${how}`, results.inPlace, "C", results.c!, verdict));
      }
    }
    return lines;
  },
};
