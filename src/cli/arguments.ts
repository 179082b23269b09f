/** The command line: the options of a command, its help, and its parsed arguments. */

import { parseArgs } from "node:util";
import { nearest, usage } from "./failure.ts";
import type { Exit } from "./waiting.ts";

/** An option. */
export interface Option {
  /** The name of its value in the help. Absent: the option takes no value. */
  readonly value?: string;
  /** Whether it may be repeated. */
  readonly several?: boolean;
  /** Whether all following words belong to it, as another command line. */
  readonly rest?: boolean;
  /** The same in one letter. */
  readonly short?: string;
  /** Its values, for completion; absent: any. */
  readonly choices?: readonly string[];
  readonly help: string;
}

/** A command of the program. */
export interface Command {
  readonly name: string;
  /** The lines of its synopsis, without the name of the program. */
  readonly synopsis: readonly string[];
  /** One line. */
  readonly summary: string;
  /** What it does, for a first-time user. */
  readonly about: string;
  readonly options: Readonly<Record<string, Option>>;
  /** What its arguments are, for completion: files, or any of these words; absent: it has none. */
  readonly words?: "files" | readonly string[];
  /** Command lines, and what each does. */
  readonly examples: readonly (readonly [string, string])[];
  /** Runs the command, and returns how it ends. */
  run(args: Arguments): Exit | Promise<Exit>;
}

/** Options of every command. */
export const COMMON: Readonly<Record<string, Option>> = {
  json: { help: "prints JSON for programs, one object per line; errors too, on stderr" },
  quiet: { short: "q", help: "prints errors and warnings alone; the exit code says the rest" },
  help: { short: "h", help: "prints this help" },
};

/** The parsed arguments of a command. */
export class Arguments {
  readonly words: readonly string[];
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(words: readonly string[], values: ReadonlyMap<string, readonly string[]>) {
    this.words = words;
    this.#values = values;
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** The values of an option, in order; empty if it is absent. */
  all(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  /** The value of an option; null if it is absent. */
  text(name: string): string | null {
    return this.all(name)[0] ?? null;
  }

  /** The value of an option as an integer from `least` to `most`; null if it is absent. */
  integer(name: string, least: number, most: number): number | null {
    const text = this.text(name);
    return text === null ? null : wholeNumber(`--${name}`, text, least, most);
  }

  /** The value of an option in seconds, as milliseconds; null if it is absent. */
  milliseconds(name: string): number | null {
    const text = this.text(name);
    if (text === null) return null;
    if (!/^(\d+\.?\d*|\.\d+)$/.test(text)) throw usage(`--${name} expected seconds, as in 5 or 0.5, got "${text}"`);
    // The longest timer of Node, 24 days.
    return Math.min(Number(text) * 1000, 0x7fffffff);
  }

  /** Throws if both options are present. */
  exclude(first: string, second: string, reason: string): void {
    if (this.has(first) && this.has(second)) throw usage(`--${first} and --${second} cannot be combined: ${reason}`);
  }
}

/** An integer from `least` to `most`, in decimal digits. @throws Failure for any other text */
export function wholeNumber(name: string, text: string, least: number, most: number): number {
  const number = /^\d{1,10}$/.test(text) ? Number(text) : -1;
  if (number < least || number > most)
    throw usage(`${name} expected a whole number from ${least} to ${most}, got "${text}"`);
  return number;
}

/** Parses the arguments after a command's name. @throws Failure that names the nearest option */
export function parse(command: Command, args: readonly string[]): Arguments {
  const known: Readonly<Record<string, Option>> = { ...command.options, ...COMMON };
  const options = Object.fromEntries(
    Object.entries(known).map(([name, { value, short }]) => [
      name,
      { type: value === undefined ? ("boolean" as const) : ("string" as const), ...(short && { short }) },
    ]),
  );
  // Not strict, so that the messages are our own.
  const { tokens } = parseArgs({
    args: [...args],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const words: string[] = [];
  const values = new Map<string, string[]>();
  for (const token of tokens) {
    if (token.kind === "positional") words.push(token.value);
    if (token.kind !== "option") continue;
    const { name } = token;
    const option = Object.hasOwn(known, name) ? known[name] : undefined;
    if (option === undefined) {
      const near = nearest(name, Object.keys(known));
      throw usage(
        `${command.name}: unknown option ${token.rawName}`,
        near === null ? `for the list of options: unix-ancillary ${command.name} --help` : `did you mean --${near}?`,
      );
    }
    if (option.rest === true) {
      const rest = args.slice(token.index + 1);
      if (token.value !== undefined) rest.unshift(String(token.value));
      if (!rest[0]) throw usage(`--${name} expected a command to run, got nothing`);
      values.set(name, rest);
      break;
    }
    if (values.has(name) && option.several !== true && option.value !== undefined)
      throw usage(`--${name} expected one value, got two`);
    if (option.value === undefined) {
      if (token.value !== undefined) throw usage(`--${name} expected no value, got "${token.value}"`);
      values.set(name, []);
      continue;
    }
    const value = token.value as string | undefined;
    if (value === undefined) throw usage(`--${name} expected ${option.value}, got nothing`);
    // In `--data --json` the value is missing; in `--data=--json` it is `--json`.
    if (token.inlineValue === false && value.startsWith("--"))
      throw usage(
        `--${name} expected ${option.value}, got the option ${value}`,
        `to use it as the value: --${name}=${value}`,
      );
    values.set(name, [...(values.get(name) ?? []), value]);
  }
  return new Arguments(words, values);
}

/** The help of one command. */
export function help(command: Command): string {
  const options = Object.entries({ ...command.options, ...COMMON }).map(([name, option]) => {
    const { help } = option;
    const left = written(name, option).join(", ");
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

/** An option as the help shows it: `-q`, `--quiet`, or `--timeout SECONDS`. */
export function written(name: string, { value, rest, short }: Option): string[] {
  const long = `--${name}${value === undefined && rest !== true ? "" : ` ${value ?? "CMD..."}`}`;
  return short === undefined ? [long] : [`-${short}`, long];
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
