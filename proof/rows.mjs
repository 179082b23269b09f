// The rows of the ABI table, as states of the core.

import { abis } from "../dist/core/index.js";
import { engine, KIND_BYTES, KINDS, LAYOUT, NUMBERS, SHORT } from "./core.mjs";
import * as T from "./terms.mjs";

export const ROWS = Object.values(abis);

/** The calls with which the library configures the core for a row (`src/core/wasm.ts`): names of exports and arguments. */
export function callsOf(abi) {
  const { headerBytes, lengthOffset, lengthBytes, levelOffset, typeOffset, dataOffset, alignBytes, headerAlignBytes } =
    abi;
  const kinds = [...abi.credentials, ...Array(3 - abi.credentials.length).fill({ type: -1, bytes: 0, uid: 0, gid: 0 })];
  return [
    [
      "setLayout",
      headerBytes,
      lengthOffset,
      lengthBytes,
      levelOffset,
      typeOffset,
      dataOffset,
      alignBytes,
      headerAlignBytes,
      Number(abi.endian === "big"),
    ],
    [
      "setNumbers",
      abi.SOL_SOCKET,
      abi.SCM_RIGHTS,
      abi.SCM_PIDFD ?? -1,
      abi.SCM_SECURITY ?? -1,
      abi.MSG_TRUNC,
      abi.MSG_CTRUNC,
      Number(abi.sendControlLength === "space"),
      Number(abi.losesCtrunc),
    ],
    ...kinds.map(({ type, bytes, pid, uid, gid }, kind) => ["setCredentials", kind, type, bytes, pid ?? -1, uid, gid]),
  ];
}

/** What an engine has after these calls: the globals of layout and numbers, and the bytes behind the registers. */
export function rowOf(core, name) {
  const abi = ROWS.find((row) => row.name === name);
  if (abi === undefined)
    throw new Error(`there is no row ${name}; the rows are ${ROWS.map((row) => row.name).join(", ")}`);
  const exports = engine(core);
  for (const [call, ...args] of callsOf(abi)) exports[call](...args);
  const page = new Uint8Array(exports.memory.buffer);
  const bytes = [];
  for (const [from, length] of [
    [KINDS, 3 * KIND_BYTES],
    [SHORT, 16],
  ])
    for (let i = from; i < from + length; i++) bytes.push([i, page[i]]);
  const globals = [...LAYOUT, ...NUMBERS, "short/exists"].map((global) => [
    global,
    T.bv(exports[`global ${core.global[global]}`].value),
  ]);
  return { name, bytes, globals: Object.fromEntries(globals) };
}
