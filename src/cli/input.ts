/** The input of `decode`: bytes, or a text of them as tools print it. It runs in a browser, too: `site/` uses it. */

import { type Abi, Codec, type ControlMessage } from "../core/index.ts";
import { unescaped } from "./escapes.ts";
import { type Failure, usage } from "./failure.ts";

/** A control buffer of the input. */
export interface Input {
  readonly control: Uint8Array;
  /** `msg_flags`, by name, where the input has them. */
  readonly flags: readonly string[] | null;
}

/** Tells the user what was assumed about the input, or left out of it. */
type Say = (text: string) => void;

/**
 * The control buffers of an input. No control buffer is text alone: of four bytes of `cmsg_len`, which would be 512 MiB, one at
 * least is not printable.
 *
 * @param hex whether it must be text
 * @param say gets remarks for the user
 * @param note gets those that a user who knows what the input is can do without
 * @throws Failure for text that has no bytes, if it must be text
 */
export function inputsOf(abi: Abi, input: Uint8Array, hex: boolean, say: Say, note: Say = say): Input[] {
  const text = latin1(input).replace(/^\xef\xbb\xbf/, "");
  if (!hex && (text.trim() === "" || /[^\t\n\v\f\r\x20-\x7e]/.test(text))) return [{ control: input, flags: null }];
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
  if (/\bmsg_control=/.test(text)) return lines.flatMap((line) => straceLine(abi, line, say));
  const bytes = dump(abi, lines) ?? list(text);
  if (bytes !== null) return [{ control: ordered(abi, lines, Uint8Array.from(bytes), note), flags: null }];
  const digits = digitsOf(text);
  if (digits instanceof Uint8Array) return [{ control: digits, flags: null }];
  if (hex) throw digits;
  say(`the input is text, and no form of bytes that decode knows: it is read as it is\n  as hex: ${digits.message}`);
  return [{ control: input, flags: null }];
}

/** Each byte as the character with its number. */
function latin1(bytes: Uint8Array): string {
  let text = "";
  // The arguments of a call have a limit.
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return text;
}

/** The bytes of pairs of hex digits. */
const pairs = (digits: string): number[] =>
  Array.from({ length: digits.length / 2 }, (_, i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16));

/** `xxd -e` prints the bytes of each word in reverse, and looks like `xxd -g4` or `-g8` otherwise: the order that has whole messages. */
function ordered(abi: Abi, lines: readonly string[], control: Uint8Array, note: Say): Uint8Array {
  const [, word] = /^[0-9a-f]{8}:\s+((?:[0-9a-f]{8}){1,2})\s/i.exec(lines[0]!) ?? [];
  const codec = new Codec(abi);
  if (word === undefined || codec.decode(control).malformed === null) return control;
  const size = word.length / 2;
  const reversed = control.slice();
  for (let i = 0; i < reversed.length; i += size) reversed.subarray(i, i + size).reverse();
  if (codec.decode(reversed).malformed !== null) return control;
  note(`the input is read as xxd -e prints it: little-endian words of ${size} bytes`);
  return reversed;
}

/** Hex digits, with what may stand between them. */
function digitsOf(text: string): Uint8Array | Failure {
  const digits = text.replace(/0x|\\x|[\s,:;]/gi, "");
  const wrong = /[^0-9a-f]/i.exec(digits);
  if (wrong !== null)
    return usage(
      `expected hex digits, got ${JSON.stringify(wrong[0])} after ${wrong.index} digits`,
      "to decode bytes that are no text, leave out --hex",
    );
  if (digits.length % 2 === 1) return usage(`expected two hex digits for each byte, got ${digits.length} digits`);
  return Uint8Array.from(pairs(digits));
}

/** The bytes of integers in the byte order of the target. */
function integers(abi: Abi, words: readonly string[], radix: number, bytes: number): number[] {
  return words.flatMap((word) => {
    const value = radix === 8 ? BigInt(`0o${word}`) : BigInt(`0x${word}`);
    const big = Array.from({ length: bytes }, (_, i) => Number((value >> BigInt(8 * (bytes - 1 - i))) & 0xffn));
    return abi.endian === "big" ? big : big.reverse();
  });
}

/** The bytes behind `ADDRESS:`, as xxd, gdb, lldb and tcpdump print them; null: none. */
function behindColon(abi: Abi, rest: string): number[] | null {
  const words = rest.split(/\s+/);
  // gdb: x/8xb, x/4xh, x/2xw, x/1xg.
  const [, digits] = /^0x((?:[0-9a-f]{2}){1,8})$/i.exec(words[0]!) ?? [];
  if (digits !== undefined) {
    const same = words.every((word) => word.length === digits.length + 2 && /^0x[0-9a-f]+$/i.test(word));
    return same
      ? integers(
          abi,
          words.map((word) => word.slice(2)),
          16,
          digits.length / 2,
        )
      : null;
  }
  // Two spaces, and the characters.
  const [hex = ""] = rest.trimStart().split(/\s{2,}/);
  return /^(?:(?:[0-9a-f]{2})+(?:\s|$))+$/i.test(hex) ? pairs(hex.replace(/\s/g, "")) : null;
}

/** The bytes behind `ADDRESS`, as hexdump and od print them; null: none. */
function behindOffset(abi: Abi, offset: string, rest: string): number[] | null {
  const [shown = ""] = rest.split(/[|>]/, 1);
  const words = shown.trimEnd().split(/\s+/);
  const all = (pattern: RegExp) => words.every((word) => pattern.test(word));
  if (all(/^[0-9a-f]{2}$/i)) return words.map((word) => Number.parseInt(word, 16));
  if (offset.length !== 7) return null;
  // hexdump and od without options: words of two bytes.
  if (all(/^[0-9a-f]{4}$/i)) return integers(abi, words, 16, 2);
  return all(/^[0-7]{6}$/) ? integers(abi, words, 8, 2) : null;
}

/** The most bytes that an input stands for, by what it says of bytes that are repeated. */
const MOST = 1 << 24;

/** The bytes of a dump with addresses: xxd, hexdump, od, gdb's x, lldb, strace -e read; null: it is none. */
function dump(abi: Abi, lines: readonly string[]): number[] | null {
  const rows: { readonly at: string; readonly bytes: number[] }[] = [];
  let repeated = false;
  const bytes: number[] = [];
  for (const line of lines) {
    if (line.trim() === "*") {
      if (rows.length === 0) return null;
      repeated = true;
      continue;
    }
    const [, at, colon, rest = ""] =
      /^[\s|]*(?:0x)?([0-9a-f]{4,16})(?:\s*<[^>]*>)?(:)?(?:\s+(.*))?$/i.exec(line.trimEnd()) ?? [];
    if (at === undefined || (colon === undefined && at.length < 5)) return null;
    const row = rest === "" ? [] : colon === ":" ? behindColon(abi, rest) : behindOffset(abi, at, rest);
    if (row === null || (rows.length === 0 && row.length === 0)) return null;
    if (repeated) {
      // As many lines as before it until this address.
      const last = rows.at(-1)!;
      const first = rows[0]!;
      const octal = rows.length > 1 && distance(first.at, rows[1]!.at, 16) !== first.bytes.length;
      const missing = distance(first.at, at, octal ? 8 : 16) - bytes.length;
      if (missing < 0 || missing + bytes.length > MOST || missing % last.bytes.length !== 0) return null;
      for (let left = missing; left > 0; left -= last.bytes.length) append(bytes, last.bytes);
      repeated = false;
    }
    if (row.length > 0) rows.push({ at, bytes: row });
    append(bytes, row);
  }
  return rows.length === 0 ? null : bytes;
}

/** One at a time: the arguments of a call have a limit, and a line of the input has none. */
function append(bytes: number[], more: readonly number[]): void {
  for (const byte of more) bytes.push(byte);
}

const distance = (from: string, to: string, radix: number): number =>
  Number.parseInt(to, radix) - Number.parseInt(from, radix);

const ELEMENT =
  /(?<string>"[^"\\]*(?:\\.[^"\\]*)*"|'[^'\\]*(?:\\.[^'\\]*)*')|(?<number>0x[0-9a-f]+|\d+)(?:\s*'(?:[^'\\]|\\.)+')?|<repeats (?<repeats>\d+) times>|[,;\s]|\bb(?=["'])/giy;

/** A text without comments of C: those that are closed, and with `lines` those that begin with two slashes. */
function withoutComments(text: string, lines = true): string {
  let plain = "";
  let at = 0;
  let closed = true;
  for (const { index, 0: begin } of text.matchAll(/\/[*/]/g)) {
    if (index < at) continue;
    const line = begin === "//";
    if (line ? !lines : !closed) continue;
    const end = line ? text.slice(index).search(/[\r\n]|$/) : text.indexOf("*/", index + 2) + 2 - index;
    closed &&= end > 0;
    if (end <= 0) continue;
    plain += `${text.slice(at, index)} `;
    at = index + end;
  }
  return plain + text.slice(at);
}

/** What is inside the first braces, brackets or quotes of a list; null: there are none. */
function insideOf(plain: string): string | null {
  const between = (from: number, close: string): string | null => {
    const to = plain.indexOf(close, from);
    return to < 0 ? null : plain.slice(from, to);
  };
  // JSON of a Buffer.
  const data = /"data"\s*:\s*\[/.exec(plain);
  const json = data === null ? null : between(data.index + data[0].length, "]");
  if (json !== null) return json;
  const brace = plain.indexOf("{");
  const braced = brace < 0 ? null : between(brace + 1, "}");
  if (braced !== null) return braced;
  const bracket = /\[(?!\])/.exec(plain);
  const bracketed = bracket === null ? null : between(bracket.index + 1, "]");
  if (bracketed !== null) return bracketed;
  const quote = plain.search(/(?:\bb)?["']/);
  if (quote < 0) return null;
  let end = plain.length;
  while (/[\s;)]/.test(plain[end - 1]!)) end--;
  return plain.slice(quote, end);
}

/** The bytes of an array or a string of C, gdb's print, Python, JavaScript, Rust or Go; null: it is none. */
function list(text: string): number[] | null {
  const plain = withoutComments(text);
  const [, shown] = /<Buffer ((?:[0-9a-f]{2}\s*)+)>/.exec(plain) ?? [];
  if (shown !== undefined) return pairs(shown.replace(/\s/g, ""));
  const inside = insideOf(plain);
  if (inside === null) return null;
  const bytes: number[] = [];
  let last: readonly number[] = [];
  let at = 0;
  for (const { 0: element, groups } of inside.matchAll(ELEMENT)) {
    at += element.length;
    const { string, number, repeats } = groups!;
    if (string !== undefined) last = [...unescaped("a string", string.slice(1, -1))];
    else if (number !== undefined) last = [Number(number)];
    if (string !== undefined || number !== undefined) append(bytes, last);
    // It has been counted once.
    if (bytes.length + Number(repeats ?? 1) * last.length > MOST) return null;
    for (let left = Number(repeats ?? 1); left > 1; left--) append(bytes, last);
  }
  return at === inside.length && bytes.length > 0 && bytes.every((byte) => byte < 256) ? bytes : null;
}

/** The control buffers of a line of strace: `msg_control=[{cmsg_len=20, ...}], msg_controllen=24, msg_flags=MSG_CTRUNC`. */
function straceLine(abi: Abi, line: string, say: Say): Input[] {
  const inputs: Input[] = [];
  // -y and -yy print what a descriptor is, between < and >.
  const plain = withoutComments(line.replace(/(\d)<(?:->|[^<>"])*>/g, "$1"), false);
  for (const { index } of plain.matchAll(/\bmsg_control=\[/g)) {
    const from = index + "msg_control=[".length;
    const to = plain.indexOf("], msg_controllen=", from);
    if (to < 0) throw usage("the line of strace ends before msg_controllen", "run strace with -v -s 65536");
    const control = plain.slice(from, to);
    const named = /\bmsg_flags=([A-Z0-9_|]+)/gi;
    named.lastIndex = to;
    const [, flags = "0"] = named.exec(plain) ?? [];
    inputs.push({
      control: new Codec(abi).encode(straceMessages(abi, control, say)),
      flags: flags === "0" ? [] : flags.split("|"),
    });
  }
  return inputs;
}

function straceMessages(abi: Abi, control: string, say: Say): ControlMessage[] {
  const numbers = abi as unknown as Readonly<Record<string, unknown>>;
  const numberOf = (word: string, names: readonly string[] = [word]): number => {
    const number = /^(?:0x[0-9a-f]+|\d+)$/i.test(word)
      ? Number(word)
      : names.map((name) => numbers[name]).find(Number.isInteger);
    if (typeof number !== "number")
      throw usage(`${abi.name} has no ${word}`, "to decode it for another system: --abi NAME");
    return number;
  };
  const messages: ControlMessage[] = [];
  const header =
    /\{cmsg_len=(\d+), cmsg_level=(\w+), cmsg_type=(\w+)\s*(?:, cmsg_data=((?:"(?:[^"\\]|\\.)*"(?:\.\.\.)?|\[[^\]]*\]|\{[^}]*\})))?\s*\}/g;
  for (const [, length, levelName, typeName, data] of control.matchAll(header)) {
    const level = numberOf(levelName!);
    const type = numberOf(typeName!, [typeName!, typeName!.replace(/^SO_(\w+?)(?:_OLD)?$/, "SCM_$1")]);
    const payload = Number(length) - abi.dataOffset;
    const bytes = data === undefined ? (payload === 0 ? [] : null) : straceData(abi, data, payload);
    if (bytes === null) say(`strace does not show the payload of ${levelName} ${typeName}: the message is left out`);
    else messages.push({ level, type, data: Uint8Array.from(bytes) });
  }
  return messages;
}

/** The payload that strace prints: a string, a list of descriptors, or a structure of integers. */
function straceData(abi: Abi, data: string, length: number): number[] | null {
  if (data.includes("...")) throw usage("strace has cut the payload of a message", "run strace with -v -s 65536");
  if (data.startsWith('"')) {
    if (length > MOST) return null;
    const bytes = [...unescaped("a string of strace", data.slice(1, -1))];
    // strace leaves out the closing NUL.
    while (bytes.length < length) bytes.push(0);
    return bytes;
  }
  const values = [...data.matchAll(/-?\b\d+\b/g)].map(([value]) => BigInt(value));
  const width = values.length === 0 ? 4 : length / values.length;
  if (width !== 4 && width !== 8) return null;
  return values.flatMap((value) => integers(abi, [BigInt.asUintN(8 * width, value).toString(16)], 16, width));
}
