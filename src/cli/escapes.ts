/** The escapes of C strings, which systemd, gdb, strace and Python print. It runs in a browser, too: `site/` uses it. */

import { usage } from "./failure.ts";

const LETTERS: Readonly<Record<string, number>> = { a: 7, b: 8, e: 27, f: 12, n: 10, r: 13, t: 9, v: 11 };

/**
 * The bytes of a text with escapes: `\0` to `\377` (octal), `\xHH`, `\n` and the like; a backslash before any other character that
 * is no letter and no digit stands for that character. All other text is UTF-8.
 *
 * @throws Failure that names `what` for any other escape
 */
export function unescaped(what: string, text: string): Uint8Array {
  const bytes: number[] = [];
  const utf8 = new TextEncoder();
  for (const [piece] of text.matchAll(/\\(?:[0-7]{1,3}|x[0-9a-f]{1,2}|[\s\S]|$)|[^\\]+/gi)) {
    if (piece[0] !== "\\") {
      for (const byte of utf8.encode(piece)) bytes.push(byte);
      continue;
    }
    const code = piece.slice(1);
    let byte: number | undefined;
    if (/^[0-7]+$/.test(code)) byte = Number.parseInt(code, 8);
    else if (/^x./i.test(code)) byte = Number.parseInt(code.slice(1), 16);
    else if (/^[^0-9a-z]$/i.test(code)) byte = code.charCodeAt(0);
    else if (Object.hasOwn(LETTERS, code)) byte = LETTERS[code];
    if (byte === undefined || byte > 255)
      throw usage(`${what} expected an escape as in C, got "${piece}"`, "a backslash itself is \\\\");
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}
