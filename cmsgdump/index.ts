/**
 * The core as a WASI command: it reads control bytes from standard input and prints what `inspect` prints.
 *
 *     cmsgdump [--hex] ABI
 *     cmsgdump --help
 *
 * Exit status: 0 whole, 1 malformed, 2 invalid arguments or input.
 */

import { abi, readInt } from "../assembly/abi";
import { len, space } from "../assembly/cmsghdr";
import { next, open } from "../assembly/decode";
import { CONTROL, CONTROL_BYTES, get, Register } from "../assembly/memory";
import { setLayout } from "../assembly/target";
import { Kind, TABLE } from "./table";
import { args, exit, read, write } from "./wasi";

/** Behind the core's three pages: the arguments, and output that is collected and written in pieces. */
const ARGS: usize = 0x30000;
const ARGS_BYTES: usize = 0x8000;
const OUT: usize = 0x38000;
const OUT_BYTES: usize = 0x8000;
/** Input is read in pieces: hex is longer than the control area, with two digits and any blanks for a byte. */
const IN: usize = 0x40000;
const IN_BYTES: usize = 0x10000;

let used: usize = 0;
let output: u32 = 1;

function flush(): void {
  write(output, OUT, used);
  used = 0;
}

function byte(value: u32): void {
  if (used === OUT_BYTES) flush();
  store<u8>(OUT + used++, value);
}

/** A string of this program, which is UTF-16 in memory, as ASCII. */
function text(value: string): void {
  for (let i = 0; i < value.length; i++) byte(value.charCodeAt(i));
}

function bytes(from: usize, length: u32): void {
  for (let i: u32 = 0; i < length; i++) byte(load<u8>(from + i));
}

function unsigned(value: u64): void {
  if (value >= 10) unsigned(value / 10);
  byte(0x30 + <u32>(value % 10));
}

function signed(value: i64): void {
  if (value < 0) byte(0x2d);
  unsigned(value < 0 ? 0 - <u64>value : value);
}

function digit(value: u32): void {
  byte(value < 10 ? 0x30 + value : 0x57 + value);
}

function hexByte(value: u32): void {
  digit(value >> 4);
  digit(value & 15);
}

/** Bytes in hex, on one line. */
function hex(from: usize, length: u32): void {
  for (let i: u32 = 0; i < length; i++) {
    if (i > 0) byte(0x20);
    hexByte(load<u8>(from + i));
  }
}

/** Bytes in hex, sixteen on a line. */
function hexLines(from: usize, length: u32): void {
  for (let i: u32 = 0; i < length; i += 16) {
    text("  ");
    hex(from + i, min<u32>(16, length - i));
    byte(0x0a);
  }
}

/** Where the table is read. */
let cursor: usize = 0;

function int(): i32 {
  const value = load<i32>(cursor);
  cursor += 4;
  return value;
}

function skipText(): void {
  // Two steps: reading the length moves the cursor too.
  const length = int();
  cursor += length;
}

/** Whether the C string at `given` is the text at the cursor, which moves behind the text. */
function isText(given: usize): bool {
  const length: u32 = int();
  const at = cursor;
  cursor += length;
  for (let i: u32 = 0; i < length; i++) if (load<u8>(given + i) !== load<u8>(at + i)) return false;
  return load<u8>(given + length) === 0;
}

/** Bytes in the table between the name and the types of an ABI, and behind the name of a type. */
const ABI_INTEGERS: usize = 10 * 4;
const TYPE_PARAMETERS: usize = 6 * 4;

function skipTypes(): void {
  for (let count = int(); count > 0; count--) {
    cursor += 8;
    skipText();
    cursor += TYPE_PARAMETERS;
  }
}

let SOL_SOCKET: i32 = 0;
/** Where the types of the chosen ABI begin. */
let types: usize = 0;

/** Finds an ABI and sets its layout in the core. */
function choose(name: usize): bool {
  cursor = TABLE;
  for (let rows = int(); rows > 0; rows--) {
    const found = isText(name);
    if (found) {
      const headerBytes = int();
      const lengthOffset = int();
      const lengthBytes = int();
      const levelOffset = int();
      const typeOffset = int();
      const dataOffset = int();
      const alignBytes = int();
      const headerAlignBytes = int();
      const bigEndian = int() !== 0;
      SOL_SOCKET = int();
      types = cursor;
      return setLayout(
        headerBytes,
        lengthOffset,
        lengthBytes,
        levelOffset,
        typeOffset,
        dataOffset,
        alignBytes,
        headerAlignBytes,
        bigEndian,
      );
    }
    cursor += ABI_INTEGERS;
    skipTypes();
  }
  return false;
}

function listNames(): void {
  cursor = TABLE;
  for (let rows = int(); rows > 0; rows--) {
    text("  ");
    const length: u32 = int();
    bytes(cursor, length);
    byte(0x0a);
    cursor += <usize>length + ABI_INTEGERS;
    skipTypes();
  }
}

/**
 * Moves the cursor behind the number of a type; false: the table does not have it. Several layouts of credentials with one type
 * are told apart by their size; the last stands for every size that is no other's.
 */
function findType(type: i32, length: u32): bool {
  cursor = types;
  let found: usize = 0;
  for (let count = int(); count > 0; count--) {
    const same = int() === type;
    if (same) found = cursor;
    int();
    skipText();
    if (same && load<u32>(cursor) === length) break;
    cursor += TYPE_PARAMETERS;
  }
  cursor = found;
  return found !== 0;
}

/** An integer of the target, of 4 or 8 bytes. */
function long(at: usize, width: i32): i64 {
  if (width === 4) return readInt(at);
  const first: u64 = <u64>(<u32>readInt(at));
  const second: u64 = <u64>(<u32>readInt(at + 4));
  return <i64>(abi.bigEndian ? (first << 32) | second : (second << 32) | first);
}

/** Prints the payload of a message; the cursor is at the kind of its type. */
function payload(data: usize, length: u32): void {
  const kind = int();
  skipText();
  const parameters = cursor;
  if (kind === Kind.RIGHTS) {
    text("  rights:");
    for (let i: u32 = 0; i + 4 <= length; i += 4) {
      byte(0x20);
      signed(readInt(data + i));
    }
    if (length < 4) text(" none");
    byte(0x0a);
    if ((length & 3) !== 0) {
      text("  leftover: ");
      unsigned(length & 3);
      text(" bytes\n");
    }
  } else if (kind === Kind.CREDENTIALS) {
    text("  credentials:");
    if (length < load<u32>(parameters)) {
      text(" cut short\n");
      return;
    }
    const pid = load<i32>(parameters + 4);
    if (pid >= 0) {
      text(" pid ");
      signed(readInt(data + pid));
    }
    text(" uid ");
    unsigned(<u32>readInt(data + load<u32>(parameters + 8)));
    text(" gid ");
    unsigned(<u32>readInt(data + load<u32>(parameters + 12)));
    byte(0x0a);
  } else if (kind === Kind.PIDFD) {
    text("  pidfd: ");
    if (length < 4) text("cut short");
    else signed(readInt(data));
    byte(0x0a);
  } else if (kind === Kind.SECURITY) {
    text('  security: "');
    const end: u32 = length > 0 && load<u8>(data + length - 1) === 0 ? length - 1 : length;
    for (let i: u32 = 0; i < end; i++) {
      const value: u32 = load<u8>(data + i);
      if (value >= 0x20 && value < 0x7f && value !== 0x22 && value !== 0x5c) byte(value);
      else {
        text("\\x");
        hexByte(value);
      }
    }
    text('"\n');
  } else if (kind === Kind.TIMESTAMP) {
    const bytesOfOne = load<u32>(parameters + 4);
    const unit = load<i32>(parameters + 20);
    let at: u32 = 0;
    for (let i = load<i32>(parameters); i > 0 && at + bytesOfOne <= length; i--, at += bytesOfOne) {
      text("  time: ");
      signed(long(data + at, load<i32>(parameters + 8)));
      text(" s ");
      const fraction = long(data + at + load<u32>(parameters + 12), load<i32>(parameters + 16));
      if (unit === 2) unsigned(fraction);
      else signed(fraction);
      text(unit === 0 ? " us" : unit === 1 ? " ns" : " /2^64 s");
      byte(0x0a);
    }
  }
}

/** Prints the message in the registers; `length` is that of the whole buffer. */
function message(length: u32): void {
  const offset: u32 = get(Register.OFFSET);
  const data: u32 = get(Register.DATA);
  const count: u32 = get(Register.DATA_LENGTH);
  const level = get(Register.LEVEL);
  const type = get(Register.TYPE);
  const known = level === SOL_SOCKET && findType(type, count);
  byte(0x40);
  unsigned(offset);
  text(" cmsg_len ");
  unsigned(len(count));
  text(", cmsg_level ");
  if (level === SOL_SOCKET) text("SOL_SOCKET");
  else signed(level);
  text(", cmsg_type ");
  if (known) {
    const kindAt = cursor;
    cursor += 4;
    const size: u32 = int();
    bytes(cursor, size);
    cursor = kindAt;
  } else signed(type);
  text(", ");
  unsigned(count);
  text(" bytes\n");
  hexLines(CONTROL + offset, abi.dataOffset);
  hexLines(CONTROL + data, count);
  if (known) payload(CONTROL + data, count);
  const end = offset + len(count);
  const following = min<u32>(offset + space(count), length);
  if (following > end) {
    text("  padding: ");
    hex(CONTROL + end, following - end);
    byte(0x0a);
  }
}

function hexValue(character: u32): i32 {
  if (character >= 0x30 && character <= 0x39) return character - 0x30;
  const lower = character | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** Reads standard input into the control area. The result is how many bytes; -1: more than fits, -2: not hex. */
function input(asHex: bool): i32 {
  let length: u32 = 0;
  let high: i32 = -1;
  for (let got = read(0, IN, IN_BYTES); got > 0; got = read(0, IN, IN_BYTES)) {
    for (let i: usize = 0; i < got; i++) {
      let value: u32 = load<u8>(IN + i);
      if (asHex) {
        if (value <= 0x20) continue;
        const nibble = hexValue(value);
        if (nibble < 0) return -2;
        if (high < 0) {
          high = nibble;
          continue;
        }
        value = (high << 4) | nibble;
        high = -1;
      }
      if (length === CONTROL_BYTES) return -1;
      store<u8>(CONTROL + length++, value);
    }
  }
  return high < 0 ? length : -2;
}

const USAGE = "usage: cmsgdump [--hex] ABI < control bytes\n";

function usage(why: string): void {
  output = 2;
  text("cmsgdump: ");
  text(why);
  text("\n");
  text(USAGE);
  text("ABI is one of\n");
  listNames();
  flush();
  exit(2);
}

function help(): void {
  text(USAGE);
  text(
    "\nReads a control buffer, the first msg_controllen bytes of msg_control, from standard input, and prints every\n" +
      "control message in it: where it is, its header, its bytes, and what they mean.\n\n" +
      "  --hex   the input is hex: two digits for each byte, with any blanks between digits\n" +
      "  --help  prints this\n\n" +
      "exit status: 0 the buffer is whole, 1 it is malformed, 2 invalid arguments or input\n\n" +
      "ABI is the system and the processor that the bytes are of, one of\n",
  );
  listNames();
  flush();
  exit(0);
}

/** Whether the C string at `given` is this one. */
function isOption(given: usize, option: string): bool {
  for (let i = 0; i < option.length; i++) if (<i32>load<u8>(given + i) !== option.charCodeAt(i)) return false;
  return load<u8>(given + option.length) === 0;
}

export function _start(): void {
  const count = args(ARGS, ARGS_BYTES);
  let name: usize = 0;
  let asHex = false;
  for (let i: u32 = 1; i < count; i++) {
    const given: usize = load<u32>(ARGS + 4 * i);
    if (isOption(given, "--help") || isOption(given, "-h")) {
      help();
      return;
    }
    if (isOption(given, "--hex")) asHex = true;
    else if (name === 0) name = given;
    else {
      usage("expected one ABI, got several");
      return;
    }
  }
  if (name === 0) {
    usage("expected an ABI");
    return;
  }
  if (!choose(name)) {
    usage("unknown ABI");
    return;
  }
  const length = input(asHex);
  if (length === -1) {
    usage("standard input has more than 65536 bytes; no kernel delivers so many");
    return;
  }
  if (length < 0) {
    usage("standard input is not hex: two digits for each byte, with any blanks between digits");
    return;
  }
  bytes(name, textLength(name));
  text(", ");
  unsigned(length);
  text(" bytes\n");
  open(length, false);
  while (next()) message(length);
  const fault = get(Register.FAULT);
  if (fault !== 0) {
    const at: u32 = get(Register.FAULT_OFFSET);
    byte(0x40);
    unsigned(at);
    text(fault === 1 ? " header-truncated\n" : fault === 2 ? " length-too-small\n" : " length-overruns\n");
    hexLines(CONTROL + at, length - at);
  }
  flush();
  exit(fault === 0 ? 0 : 1);
}

function textLength(at: usize): u32 {
  let length: u32 = 0;
  while (load<u8>(at + length) !== 0) length++;
  return length;
}
