// Realistic faults, for scripts/mutate.mjs. Each has:
//
//   name         what is wrong with it
//   file         the source file
//   within       the function, as a path of names: `Endpoint.#remove` is `#remove` in `Endpoint`
//   find         the piece of code that is changed; in src/ it is found by its syntax tree, as JavaScript (without types), in native/ by
//                its tokens. In src/, `_` stands for any expression or statement
//   replacement  what is put there; nothing, by default. `$&` is the piece itself
//   tests        the test files that notice it, the fastest first
//   explored     a part of the name of the scenario of test/explore/ that notices it, if a test does not
//   explorerSays what the exploration says: its self-test (npm run explore -- --self-test) plants these faults too
//   equivalent   why nothing can notice it, if so

import { CHANNEL } from "./channel.mjs";
import { CLI } from "./cli.mjs";
import { CORE } from "./core.mjs";
import { FD } from "./fd.mjs";
import { MESSAGE } from "./message.mjs";
import { NATIVE } from "./native.mjs";
import { SOCKET } from "./socket.mjs";
import { STREAM } from "./stream.mjs";
import { SYSTEM } from "./system.mjs";

/** Faults without the fields that are the same for all. */
export const MUTANTS = [...CORE, ...FD, ...MESSAGE, ...SOCKET, ...CHANNEL, ...STREAM, ...SYSTEM, ...NATIVE, ...CLI].map(
  (mutant) => ({
    replacement: "",
    ...mutant,
  }),
);
