// The claims, in the order of the run.

import { begin, initial, rows, setCredentials, setLayout, setNumbers, setShort, sizes } from "./configuration.mjs";
import { next, open } from "./decode.mjs";
import { canonical, identity, put } from "./encode.mjs";
import { encodeRights, putCredentials, putRights } from "./payloads.mjs";
import { readRights } from "./rights.mjs";
import { verdict, verdictShort } from "./verdict.mjs";

/** `soon`: decided within seconds, and in the sample of the gate. */
const soon = (claim) => ({ ...claim, soon: true });

export const CLAIMS = [
  soon(initial),
  soon(rows),
  soon(setShort),
  setLayout,
  setNumbers,
  setCredentials,
  soon(sizes),
  soon(open),
  soon(next),
  readRights,
  soon(begin),
  put,
  identity,
  canonical,
  putRights,
  soon(encodeRights),
  putCredentials,
  verdict,
  verdictShort,
];
