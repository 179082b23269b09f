/** The input of `decode`: bytes, or a text of them as tools print it. */

import { type Abi, Codec, type ControlMessage } from "../core/index.ts";
import { unescaped } from "./escapes.ts";
import { type Failure, usage } from "./failure.ts";
import { say } from "./output.ts";

/** A control buffer of the input. */
export interface Input {
  readonly control: Uint8Array;
  /** `msg_flags`, by name, where the input has them. */
  readonly flags: readonly string[] | null;
}

/**
 * The control buffers of an input. No control buffer is text alone: of four bytes of `cmsg_len`, which would be 512 MiB, one at
 * least is not printable.
 *
 * @param hex whether it must be text
 * @throws Failure for text that has no bytes, if it must be text
 */
export function inputsOf(abi: Abi, input: Uint8Array, hex: boolean): Input[] {
  const text = Buffer.from(input)
    .toString("latin1")
    .replace(/^\xef\xbb\xbf/, "");
  if (!hex && (text.trim() === "" || /[^\t\n\v\f\r\x20-\x7e]/.test(text))) return [{ control: input, flags: null }];
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
  if (/\bmsg_control=/.test(text)) return lines.flatMap((line) => straceLine(abi, line));
  const bytes = dump(abi, lines) ?? list(text);
  if (bytes !== null) return [{ control: Uint8Array.from(bytes), flags: null }];
  const digits = digitsOf(text);
  if (digits instanceof Uint8Array) return [{ control: digits, flags: null }];
  if (hex) throw digits;
  return [{ control: input, flags: null }];
}

/** Hex digits, with what may stand between them. */
function digitsOf(text: string): Uint8Array | Failure {
  const digits = text.replace(/0x|\\x|[\s,:;]/gi, "");
  const wrong = /[^0-9a-f]/i.exec(digits);
  if (wrong !== null)
    return usage(
      `--hex expected hex digits, got ${JSON.stringify(wrong[0])} after ${wrong.index} digits`,
      "to decode raw bytes, leave out --hex",
    );
  if (digits.length % 2 === 1) return usage(`--hex expected two digits per byte, got ${digits.length} digits`);
  return Buffer.from(digits, "hex");
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
  const [hex = ""] = rest.split(/\s{2,}/);
  return /^(?:(?:[0-9a-f]{2})+(?:\s|$))+$/i.test(hex) ? [...Buffer.from(hex.replace(/\s/g, ""), "hex")] : null;
}

/** The bytes behind `ADDRESS`, as hexdump and od print them; null: none. */
function behindOffset(abi: Abi, offset: string, rest: string): number[] | null {
  const words = rest.replace(/\s*[|>].*$/, "").split(/\s+/);
  const all = (pattern: RegExp) => words.every((word) => pattern.test(word));
  if (all(/^[0-9a-f]{2}$/i)) return words.map((word) => Number.parseInt(word, 16));
  if (offset.length !== 7) return null;
  // hexdump and od without options: words of two bytes.
  if (all(/^[0-9a-f]{4}$/i)) return integers(abi, words, 16, 2);
  return all(/^[0-7]{6}$/) ? integers(abi, words, 8, 2) : null;
}

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
      /^[\s|]*(?:0x)?([0-9a-f]{4,16})(?:\s*<[^>]*>)?(:)?(?:\s+(.*?)\s*)?$/i.exec(line) ?? [];
    if (at === undefined || (colon === undefined && at.length < 5)) return null;
    const row = rest === "" ? [] : colon === ":" ? behindColon(abi, rest) : behindOffset(abi, at, rest);
    if (row === null || (rows.length === 0 && row.length === 0)) return null;
    if (repeated) {
      // As many lines as before it until this address.
      const last = rows.at(-1)!;
      const first = rows[0]!;
      const octal = rows.length > 1 && distance(first.at, rows[1]!.at, 16) !== first.bytes.length;
      const missing = distance(first.at, at, octal ? 8 : 16) - bytes.length;
      if (missing < 0 || missing > 1 << 24 || missing % last.bytes.length !== 0) return null;
      for (let left = missing; left > 0; left -= last.bytes.length) bytes.push(...last.bytes);
      repeated = false;
    }
    if (row.length > 0) rows.push({ at, bytes: row });
    bytes.push(...row);
  }
  return rows.length === 0 ? null : bytes;
}

const distance = (from: string, to: string, radix: number): number =>
  Number.parseInt(to, radix) - Number.parseInt(from, radix);

const ELEMENT =
  /(?<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?<number>0x[0-9a-f]+|\d+)(?:\s*'(?:[^'\\]|\\.)+')?|<repeats (?<repeats>\d+) times>|[,;\s]|\bb(?=["'])/giy;

/** The bytes of an array or a string of C, gdb's print, Python, JavaScript, Rust or Go; null: it is none. */
function list(text: string): number[] | null {
  const plain = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, " ");
  const [, shown] = /<Buffer ((?:[0-9a-f]{2}\s*)+)>/.exec(plain) ?? [];
  if (shown !== undefined) return [...Buffer.from(shown.replace(/\s/g, ""), "hex")];
  const [, inside] =
    /"data"\s*:\s*\[([^\]]*)\]/.exec(plain) ??
    /\{([^}]*)\}/.exec(plain) ??
    /\[([^\]]+)\]/.exec(plain) ??
    /((?:\bb)?["'][\s\S]*?)[\s;)]*$/.exec(plain) ??
    [];
  if (inside === undefined) return null;
  const bytes: number[] = [];
  let last: readonly number[] = [];
  let at = 0;
  for (const { 0: element, groups } of inside.matchAll(ELEMENT)) {
    at += element.length;
    const { string, number, repeats } = groups!;
    if (string !== undefined) last = [...unescaped("a string", string.slice(1, -1))];
    else if (number !== undefined) last = [Number(number)];
    if (string !== undefined || number !== undefined) bytes.push(...last);
    // It has been counted once.
    for (let left = Math.min(Number(repeats ?? 1), 1 << 20); left > 1; left--) bytes.push(...last);
  }
  return at === inside.length && bytes.length > 0 && bytes.every((byte) => byte < 256) ? bytes : null;
}

/** The control buffers of a line of strace: `msg_control=[{cmsg_len=20, ...}], msg_controllen=24, msg_flags=MSG_CTRUNC`. */
function straceLine(abi: Abi, line: string): Input[] {
  const inputs: Input[] = [];
  for (const { index } of line.matchAll(/\bmsg_control=\[/g)) {
    const rest = line.slice(index + "msg_control=[".length);
    // -y and -yy print what a descriptor is, between < and >.
    const plain = rest.replace(/(\d)<(?:->|[^<>"])*>/g, "$1").replace(/\/\*.*?\*\//g, "");
    const [, control] = /^(.*?)\], msg_controllen=/.exec(plain) ?? [];
    if (control === undefined)
      throw usage("the line of strace ends before msg_controllen", "run strace with -v -s 65536");
    const [, flags = "0"] = /\bmsg_flags=([A-Z0-9_|]+)/i.exec(plain) ?? [];
    inputs.push({
      control: new Codec(abi).encode(straceMessages(abi, control)),
      flags: flags === "0" ? [] : flags.split("|"),
    });
  }
  return inputs;
}

function straceMessages(abi: Abi, control: string): ControlMessage[] {
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
