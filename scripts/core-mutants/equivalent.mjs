// Mutants of assembly/ that nothing can notice, with the reason: the file, the function, and the line before and after.

export const EQUIVALENT = [
  {
    file: "abi.ts",
    within: "",
    because: "Before setLayout, which sets it, no header is read or written: the payload would begin past every size.",
    lines: {
      "export let lengthOffset: u32 = 0;": ["export let lengthOffset: u32 = 1;"],
      "export let lengthBytes: u32 = 4;": ["export let lengthBytes: u32 = 3;", "export let lengthBytes: u32 = 5;"],
      "export let levelOffset: u32 = 0;": ["export let levelOffset: u32 = 1;"],
      "export let typeOffset: u32 = 0;": ["export let typeOffset: u32 = 1;"],
    },
  },
  {
    file: "abi.ts",
    within: "",
    because: "It is past every size, too.",
    lines: {
      "export let dataOffset: u32 = 0x80000000;": ["export let dataOffset: u32 = 0x80000001;"],
    },
  },
  {
    file: "abi.ts",
    within: "",
    because: "It is at most 64: the sign makes no difference.",
    lines: {
      "export let alignBytes: u32 = 1;": ["export let alignBytes: i32 = 1;"],
      "export let headerAlignBytes: u32 = 1;": ["export let headerAlignBytes: i32 = 1;"],
    },
  },
  {
    file: "abi.ts",
    within: "",
    because: "Before setLayout a sum with the offset of the payload is past every size, rounded or not.",
    lines: {
      "export let headerAlignBytes: u32 = 1;": ["export let headerAlignBytes: u32 = 2;"],
    },
  },
  {
    file: "abi.ts",
    within: "",
    because: "Each negative number stands for what the system does not have.",
    lines: {
      "export let SCM_PIDFD: i32 = -1;": ["export let SCM_PIDFD: i32 = -2;"],
      "export let SCM_SECURITY: i32 = -1;": ["export let SCM_SECURITY: i32 = -2;"],
    },
  },
  {
    file: "credentials.ts",
    within: "setCredentials",
    because: "Sizes and offsets are at most 256, or -1: the upper half of the word says nothing more.",
    lines: {
      "store<u32>(at, bytes, BYTES);": ["store<u16>(at, bytes, BYTES);"],
      "store<u32>(at, uid, UID);": ["store<u16>(at, uid, UID);"],
      "store<u32>(at, gid, GID);": ["store<u16>(at, gid, GID);"],
    },
  },
  {
    file: "credentials.ts",
    within: "putCredentials",
    because: "Sizes and offsets are at most 256, or -1: the upper half of the word says nothing more.",
    lines: {
      "const bytes = load<u32>(CREDENTIALS_LAYOUTS, BYTES);": ["const bytes = load<u16>(CREDENTIALS_LAYOUTS, BYTES);"],
      "const pidAt = load<i32>(CREDENTIALS_LAYOUTS, PID);": ["const pidAt = load<i16>(CREDENTIALS_LAYOUTS, PID);"],
      "writeInt(payload + load<u32>(CREDENTIALS_LAYOUTS, UID), uid);": [
        "writeInt(payload + load<u16>(CREDENTIALS_LAYOUTS, UID), uid);",
      ],
      "writeInt(payload + load<u32>(CREDENTIALS_LAYOUTS, GID), gid);": [
        "writeInt(payload + load<u16>(CREDENTIALS_LAYOUTS, GID), gid);",
      ],
    },
  },
  {
    file: "credentials.ts",
    within: "putCredentials",
    because: "A payload never begins at 0.",
    lines: {
      "if (data < 0) return -1;": ["if (data <= 0) return -1;", "if (data < 1) return -1;"],
    },
  },
  {
    file: "credentials.ts",
    within: "readCredentials",
    because: "It is read only when a layout was found, which sets it.",
    lines: {
      "let bytes: u32 = 0;": ["let bytes: u32 = 1;"],
    },
  },
  {
    file: "credentials.ts",
    within: "readCredentials",
    because: "Sizes and offsets are at most 256, or -1: the upper half of the word says nothing more.",
    lines: {
      "const size = load<u32>(layout, BYTES);": ["const size = load<u16>(layout, BYTES);"],
      "const pidAt = load<i32>(at, PID);": ["const pidAt = load<i16>(at, PID);"],
      "const uid: i32 = readInt(payload + load<u32>(at, UID));": [
        "const uid: i32 = readInt(payload + load<u16>(at, UID));",
      ],
      "set(Register.GID, readInt(payload + load<u32>(at, GID)));": [
        "set(Register.GID, readInt(payload + load<u16>(at, GID)));",
      ],
    },
  },
  {
    file: "rights.ts",
    within: "putRights",
    because: "So many descriptors and a header are more than the control area: put refuses them.",
    lines: {
      "if (<u32>count > FDS_CAPACITY) return -1;": ["if (<u32>count >= FDS_CAPACITY) return -1;"],
    },
  },
  {
    file: "rights.ts",
    within: "putRights",
    because: "A payload never begins at 0.",
    lines: {
      "if (data < 0) return -1;": ["if (data <= 0) return -1;", "if (data < 1) return -1;"],
    },
  },
  {
    file: "rights.ts",
    within: "encodeRights",
    because: "It is 0, 20 or 24.",
    lines: {
      "if (bytes > 0) return bytes;": ["if (bytes > 1) return bytes;"],
    },
  },
  {
    file: "rights.ts",
    within: "encodeRights",
    because: "A payload never begins at 0.",
    lines: {
      "return putRights(count) < 0 ? -1 : length();": [
        "return putRights(count) <= 0 ? -1 : length();",
        "return putRights(count) < 1 ? -1 : length();",
      ],
    },
  },
  {
    file: "rights.ts",
    within: "readRights",
    because: "There is room for none then: the count becomes 0.",
    lines: {
      "if (from > FDS_CAPACITY || data > CONTROL_BYTES) return 0;": [
        "if (from >= FDS_CAPACITY || data > CONTROL_BYTES) return 0;",
        "if (from > FDS_CAPACITY || data >= CONTROL_BYTES) return 0;",
      ],
    },
  },
  {
    file: "rights.ts",
    within: "readRights",
    because: "Both are at most 16384.",
    lines: {
      "count = min<u32>(count, min<u32>(FDS_CAPACITY - from, (CONTROL_BYTES - data) >> 2));": [
        "count = min<u32>(count, min<i32>(FDS_CAPACITY - from, (CONTROL_BYTES - data) >> 2));",
      ],
    },
  },
  {
    file: "rights.ts",
    within: "readRights",
    because: "The loop behind it copies one at a time: the same, more slowly.",
    lines: {
      "if (!abi.bigEndian)": ["if (false)"],
    },
  },
  {
    file: "rights.ts",
    within: "readRights",
    because: "The loop behind it copies the rest one at a time: the same, more slowly.",
    lines: {
      "for (; i + 8 <= bytes; i += 8) {": [
        "for (; false; i += 8) {",
        "for (; i + 8 < bytes; i += 8) {",
        "for (; i - 8 <= bytes; i += 8) {",
        "for (; to + 8 <= bytes; i += 8) {",
        "for (; i + 9 <= bytes; i += 8) {",
        "for (; i + 8 <= i; i += 8) {",
      ],
    },
  },
  {
    file: "rights.ts",
    within: "readRights",
    because: "Both are multiples of 4.",
    lines: {
      "for (; i + 8 <= bytes; i += 8) {": ["for (; i + 7 <= bytes; i += 8) {"],
    },
  },
  {
    file: "decode.ts",
    within: "",
    because: "open sets it, before which a walk has no bytes.",
    lines: {
      "let clamps: bool = false;": ["let clamps: bool = true;"],
    },
  },
  {
    file: "decode.ts",
    within: "open",
    because: "No bytes either way.",
    lines: {
      "end = length < 0 ? 0 : min<u32>(length, CONTROL_BYTES);": [
        "end = length <= 0 ? 0 : min<u32>(length, CONTROL_BYTES);",
        "end = length < 1 ? 0 : min<u32>(length, CONTROL_BYTES);",
      ],
    },
  },
  {
    file: "decode.ts",
    within: "open",
    because: "Neither is negative.",
    lines: {
      "end = length < 0 ? 0 : min<u32>(length, CONTROL_BYTES);": [
        "end = length < 0 ? 0 : min<i32>(length, CONTROL_BYTES);",
      ],
    },
  },
  {
    file: "decode.ts",
    within: "next",
    because: "Neither is negative.",
    lines: {
      "at += <u32>min<u64>(step(length), left);": ["at += <u32>min<i64>(step(length), left);"],
    },
  },
  {
    file: "index.ts",
    within: "",
    because: "Both numbers are 0x10000.",
    lines: {
      'export { CONTROL, CONTROL_BYTES, FDS, FDS_CAPACITY, REGISTERS, Register } from "./memory";': [
        'export { CONTROL, CONTROL_BYTES as FDS, FDS as CONTROL_BYTES, FDS_CAPACITY, REGISTERS, Register } from "./memory";',
      ],
    },
  },
  {
    file: "target.ts",
    within: "setShort",
    because: "The flag 1 is MSG_OOB on every system.",
    lines: {
      "allow(prepare() && verdict(LEN, 0, 1, 1, false) === OK);": [
        "allow(prepare() && verdict(LEN, 1, 0, 1, false) === OK);",
        "allow(prepare() && verdict(LEN, 1, 1, 1, false) === OK);",
      ],
    },
  },
  {
    file: "target.ts",
    within: "setShort",
    because: "Neither how many are kept nor truncated data make a difference to what is asked.",
    lines: {
      "allow(prepare() && verdict(LEN, 0, 1, 1, false) === OK);": [
        "allow(prepare() && verdict(LEN, 0, 0, 1, false) === OK);",
        "allow(prepare() && verdict(LEN, 0, 2, 1, false) === OK);",
        "allow(prepare() && verdict(LEN, 0, 1, 1, true) === OK);",
      ],
    },
  },
  {
    file: "target.ts",
    within: "setLayout",
    because: "A header of 0 or 1 bytes has no room for its fields: it is refused below.",
    lines: {
      "if (headerBytes === 0 || headerBytes > dataOffset || dataOffset > LIMIT) return false;": [
        "if (headerBytes > dataOffset || dataOffset > LIMIT) return false;",
        "if (headerBytes === 1 || headerBytes > dataOffset || dataOffset > LIMIT) return false;",
      ],
    },
  },
  {
    file: "target.ts",
    within: "setLayout",
    because: "A field that begins at the end of the header is refused by the other side.",
    lines: {
      "if (lengthOffset > headerBytes || lengthOffset + lengthBytes > headerBytes) return false;": [
        "if (lengthOffset >= headerBytes || lengthOffset + lengthBytes > headerBytes) return false;",
      ],
      "if (levelOffset > headerBytes || levelOffset + 4 > headerBytes) return false;": [
        "if (levelOffset >= headerBytes || levelOffset + 4 > headerBytes) return false;",
      ],
      "if (typeOffset > headerBytes || typeOffset + 4 > headerBytes) return false;": [
        "if (typeOffset >= headerBytes || typeOffset + 4 > headerBytes) return false;",
      ],
    },
  },
  {
    file: "verdict.ts",
    within: "verdict",
    because: "It counts messages, of which there are a few thousand at most: the sign makes no difference.",
    lines: {
      "let pidfds: u32 = 0;": ["let pidfds: i32 = 0;"],
    },
  },
  {
    file: "verdict.ts",
    within: "verdict",
    because: "After the short way the walk was opened on no bytes: next finds nothing.",
    lines: {
      "while (!one && next()) {": ["while (next()) {"],
    },
  },
  {
    file: "verdict.ts",
    within: "verdict",
    because: "It is at most 65536: the sign makes no difference.",
    lines: {
      "const bytes: u32 = get(Register.DATA_LENGTH);": ["const bytes: i32 = get(Register.DATA_LENGTH);"],
    },
  },
  {
    file: "verdict.ts",
    within: "verdict",
    because: "Neither is negative.",
    lines: {
      "if (outcome === OK) keep = min<u32>(count, max(maxFds, 0));": [
        "if (outcome === OK) keep = min<i32>(count, max(maxFds, 0));",
      ],
    },
  },
  {
    file: "cmsghdr.ts",
    within: "roundUp",
    because: "No sum reaches 2^32: a mask of 32 bits takes nothing away.",
    lines: {
      "function roundUp(n: u64, to: u64): u64 {": ["function roundUp(n: u64, to: u32): u64 {"],
    },
  },
  {
    file: "cmsghdr.ts",
    within: "align",
    because: "A negative number becomes one past 2^31, which does not fit either.",
    lines: {
      "export function align(n: i32): i32 {": ["export function align(n: u32): i32 {"],
    },
  },
  {
    file: "cmsghdr.ts",
    within: "len",
    because: "A negative number becomes one past 2^31, which does not fit either.",
    lines: {
      "export function len(n: i32): i32 {": ["export function len(n: u32): i32 {"],
    },
  },
  {
    file: "cmsghdr.ts",
    within: "len",
    because: "The sum stays below 2^32.",
    lines: {
      "return n < 0 ? -1 : size(<u64>abi.dataOffset + n);": [
        "return n < 0 ? -1 : size(<u32>abi.dataOffset + n);",
        "return n < 0 ? -1 : size((abi.dataOffset) + n);",
      ],
    },
  },
  {
    file: "cmsghdr.ts",
    within: "space",
    because: "A negative number becomes one past 2^31, which does not fit either.",
    lines: {
      "export function space(n: i32): i32 {": ["export function space(n: u32): i32 {"],
    },
  },
  {
    file: "cmsghdr.ts",
    within: "space",
    because: "The sum stays below 2^32.",
    lines: {
      "return n < 0 ? -1 : size(step(<u64>abi.dataOffset + n));": [
        "return n < 0 ? -1 : size(step(<u32>abi.dataOffset + n));",
        "return n < 0 ? -1 : size(step((abi.dataOffset) + n));",
      ],
    },
  },
  {
    file: "cmsghdr.ts",
    within: "readLength",
    because: "A length past 2^31 is past every buffer, however it is extended.",
    lines: {
      "if (abi.lengthBytes === 4) return <u64>(<u32>readInt(header + abi.lengthOffset));": [
        "if (abi.lengthBytes === 4) return <u64>(<i32>readInt(header + abi.lengthOffset));",
        "if (abi.lengthBytes === 4) return <u64>((readInt(header + abi.lengthOffset)));",
      ],
    },
  },
  {
    file: "encode.ts",
    within: "",
    because: "Without a layout no message fits, and setting one begins a buffer.",
    lines: {
      "let at: u32 = 0;": ["let at: u32 = 1;"],
      "let capacity: u32 = 0;": ["let capacity: u32 = 1;"],
    },
  },
  {
    file: "encode.ts",
    within: "begin",
    because: "It is CONTROL_BYTES either way.",
    lines: {
      "capacity = <u32>bytes > CONTROL_BYTES ? CONTROL_BYTES : bytes;": [
        "capacity = <u32>bytes >= CONTROL_BYTES ? CONTROL_BYTES : bytes;",
      ],
    },
  },
  {
    file: "encode.ts",
    within: "put",
    because: "No message is of 0 bytes.",
    lines: {
      "if (whole < 0) return -1;": ["if (whole <= 0) return -1;", "if (whole < 1) return -1;"],
    },
  },
  {
    file: "encode.ts",
    within: "put",
    because: "Neither is negative.",
    lines: {
      "memory.fill(header, 0, min<u32>(whole, capacity - at));": [
        "memory.fill(header, 0, min<i32>(whole, capacity - at));",
      ],
      "at = min<u32>(at + whole, capacity);": ["at = min<i32>(at + whole, capacity);"],
    },
  },
];
