/** The codec and the C macros. */

import { type Case, contest, type Line, times } from "../case.ts";
import { Contestant } from "../contestant.ts";

/** Descriptors per message and messages: one message with one descriptor, one with the most, 64 KiB of messages with one. */
const BUFFERS = { "1 descriptor": [1, 1], "253 descriptors": [253, 1], "64 KiB of messages": [1, 2730] } as const;

/** Left out of the quick run. */
const LARGE = "253 descriptors";

export const codec: Case = {
  name: "codec",
  title: "the codec beside the C macros, compiled with -O2",
  async run({ pace }) {
    const lines: Line[] = [];
    for (const [name, [fds, messages]] of Object.entries(BUFFERS)) {
      if (pace.sample && name === LARGE) continue;
      for (const what of ["encode", "decode", "verdict"] as const) {
        // A send encodes one message. A receive decodes any messages, as a part of its verdict.
        const inPlace = what === "verdict" || (what === "encode" && messages === 1);
        // With one message, the verdict has the same target as decoding, which it includes.
        const held = what === "verdict" && fds * messages === 1;
        const results = await contest(
          {
            public: Contestant.node("codec", "public", what, fds, messages),
            ...(inPlace ? { inPlace: Contestant.node("codec", "in-place", what, fds, messages) } : {}),
            c: Contestant.c("codec", what, fds, messages),
            ...(held ? { decode: Contestant.c("codec", "decode", fds, messages) } : {}),
          },
          pace,
        );
        // No target: Codec returns objects, which the C program does not create.
        lines.push(times(`${what}, ${name}, by Codec`, results.public, "C", results.c));
        if (results.inPlace === undefined) continue;
        const how = what === "encode" ? "as a send does" : "as a receive does";
        lines.push(times(`${what}, ${name}, ${how}`, results.inPlace, "C", results.c, held ? { atMost: 2 } : null));
        if (held)
          lines.push(
            times(`${what}, ${name}, ${how}`, results.inPlace, "C, decoding alone", results.decode!, { atMost: 2 }),
          );
      }
    }
    return lines;
  },
};
