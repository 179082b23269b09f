// Faults in src/core/. The fields are described in index.mjs. Those in assembly/ are in scripts/planted-bugs.mjs.

export const CORE = [
  {
    name: "a signal in the place of the options is ignored, and the call waits for ever",
    file: "src/core/errors.ts",
    within: "read",
    find: "if (keys.length === 0) refuseSignal(name, value, known);",
    tests: ["messages: options"],
  },
  {
    name: "FreeBSD: a sender without supplementary groups is nobody",
    file: "src/core/abis/freebsd.ts",
    within: "SOCKCRED",
    find: "20",
    replacement: "24",
    tests: ["core/codec: supplementary"],
  },
  {
    name: "FreeBSD and DragonFly: the real gid beside the effective uid",
    file: "src/core/abis/bsd.ts",
    within: "CMSGCRED",
    find: "20",
    replacement: "12",
    tests: ["core/codec: facts or null"],
  },
  {
    name: "surrogates in a label",
    file: "src/core/payloads.ts",
    within: "textOf",
    find: "first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf",
    replacement: "first === 0xf4 ? 0x8f : 0xbf",
    tests: ["core/hosts: TextDecoder"],
  },
  {
    name: "the last character of each four of base64 is lost",
    file: "src/core/wasm.ts",
    within: "decodeBase64",
    find: "held >> (6 - 2 * (i % 4))",
    replacement: "held >> 2",
    tests: ["core/hosts: no other global"],
  },
  {
    name: "a text is read as a payload",
    file: "src/core/codec.ts",
    within: "Codec.payloadOf",
    find: "!isUint8Array(data)",
    replacement: "false",
    tests: ["core/codec: no bytes"],
  },
];
