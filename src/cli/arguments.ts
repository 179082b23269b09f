/** The command line: what a command understands, its help, and what was given. */

import { parseArgs } from "node:util";
import { nearest, usage } from "./failure.ts";
import type { Outcome } from "./waiting.ts";

/** An option. */
export interface Option {
  /** What its value is called in the help; none: it is there or not. */
  readonly value?: string;
  /** Whether it may be given several times. */
  readonly several?: boolean;
  /** Takes all that follows, as words of another command. */
  readonly rest?: boolean;
  readonly help: string;
}

/** A command of the program. */
export interface Command {
  readonly name: string;
  /** The lines of its synopsis, without the program's name. */
  readonly synopsis: readonly string[];
  /** One line. */
  readonly summary: string;
  /** What it does, for somebody who has never done it. */
  readonly about: string;
  readonly options: Readonly<Record<string, Option>>;
  /** What to type, and what it does. */
  readonly examples: readonly (readonly [string, string])[];
  /** How it ended. */
  run(given: Given): Outcome | Promise<Outcome>;
}

/** What every command understands. */
export const COMMON: Readonly<Record<string, Option>> = {
  json: { help: "output for programs: one JSON object a line; errors too, on stderr" },
  help: { help: "this text" },
};

/** What was given to a command. */
export class Given {
  readonly words: readonly string[];
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(words: readonly string[], values: ReadonlyMap<string, readonly string[]>) {
    this.words = words;
    this.#values = values;
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** The values of an option, in their order; empty: it was not given. */
  all(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  /** The value of an option; null: it was not given. */
  text(name: string): string | null {
    return this.all(name)[0] ?? null;
  }

  /** A whole number from `least` to `most`. */
  integer(name: string, least: number, most: number): number | null {
    const text = this.text(name);
    return text === null ? null : wholeNumber(`--${name}`, text, least, most);
  }

  /** Milliseconds of a value in seconds. */
  milliseconds(name: string): number | null {
    const text = this.text(name);
    if (text === null) return null;
    if (!/^(\d+\.?\d*|\.\d+)$/.test(text)) throw usage(`--${name} expected seconds, as in 5 or 0.5, got "${text}"`);
    // As far as a timer of Node's goes, 24 days.
    return Math.min(Number(text) * 1000, 0x7fffffff);
  }

  /** Refuses two options that cannot both be meant. */
  exclude(one: string, other: string, why: string): void {
    if (this.has(one) && this.has(other)) throw usage(`--${one} and --${other} cannot be combined: ${why}`);
  }
}

export function wholeNumber(name: string, text: string, least: number, most: number): number {
  const number = /^\d{1,10}$/.test(text) ? Number(text) : -1;
  if (number < least || number > most)
    throw usage(`${name} expected a whole number from ${least} to ${most}, got "${text}"`);
  return number;
}

/** Reads the arguments behind a command's name. @throws Failure that names the nearest option */
export function parse(command: Command, args: readonly string[]): Given {
  const known: Readonly<Record<string, Option>> = { ...command.options, ...COMMON };
  const options = Object.fromEntries(
    Object.entries(known).map(([name, { value }]) => [
      name,
      { type: value === undefined ? ("boolean" as const) : ("string" as const) },
    ]),
  );
  // Not strict, so that what is wrong is said by us.
  const { tokens } = parseArgs({
    args: [...args],
    options: { ...options, h: { type: "boolean" } },
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const words: string[] = [];
  const values = new Map<string, string[]>();
  for (const token of tokens) {
    if (token.kind === "positional") words.push(token.value);
    if (token.kind !== "option") continue;
    const name = token.name === "h" ? "help" : token.name;
    const option = Object.hasOwn(known, name) ? known[name] : undefined;
    if (option === undefined) {
      const near = nearest(name, Object.keys(known));
      throw usage(
        `${command.name} has no option ${token.rawName}`,
        near === null ? `unix-ancillary ${command.name} --help lists them` : `did you mean --${near}?`,
      );
    }
    if (option.rest === true) {
      const rest = args.slice(token.index + 1);
      if (token.value !== undefined) rest.unshift(String(token.value));
      if (rest.length === 0) throw usage(`--${name} expected a command to run, got nothing`);
      values.set(name, rest);
      break;
    }
    if (values.has(name) && option.several !== true && option.value !== undefined)
      throw usage(`--${name} expected one value, was given twice`);
    if (option.value === undefined) {
      if (token.value !== undefined) throw usage(`--${name} expected no value, got "${token.value}"`);
      values.set(name, []);
      continue;
    }
    const value = token.value as string | undefined;
    if (value === undefined) throw usage(`--${name} expected ${option.value}, got nothing`);
    // `--data --json` forgot its value; `--data=--json` did not.
    if (token.inlineValue === false && value.startsWith("--"))
      throw usage(`--${name} expected ${option.value}, got the option ${value}`, `if it is meant: --${name}=${value}`);
    values.set(name, [...(values.get(name) ?? []), value]);
  }
  return new Given(words, values);
}

/** The help of one command. */
export function help(command: Command): string {
  const options = Object.entries({ ...command.options, ...COMMON }).map(([name, { value, rest, help }]) => {
    const left = `--${name}${value === undefined && rest !== true ? "" : ` ${value ?? "CMD..."}`}`;
    const [first, ...more] = wrap(help, 88);
    const indent = " ".repeat(26);
    const head = left.length < 22 ? `  ${left.padEnd(24)}${first}` : `  ${left}\n${indent}${first}`;
    return [head, ...more.map((line) => indent + line)].join("\n");
  });
  return [
    ...command.synopsis.map((line, i) => `${i === 0 ? "usage:" : "      "} unix-ancillary ${line}`),
    "",
    command.about,
    "",
    "options:",
    ...options,
    "",
    "examples:",
    ...command.examples.map(([line, what]) => `  ${line}\n      ${what}`),
    "",
  ].join("\n");
}

function wrap(text: string, width: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1)!;
    if (line !== "" && line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines;
}
