#!/usr/bin/env node
/** The command `unix-ancillary`. */

import { readFileSync } from "node:fs";
import { type Command, help, parse } from "./arguments.ts";
import { completion } from "./completion.ts";
import { abis, decode, layout } from "./decode.ts";
import { doctor } from "./doctor.ts";
import { EXIT_CODES, EXIT_OF_EXEC, failureOf, nearest, usage } from "./failure.ts";
import { man } from "./manual.ts";
import { beQuiet, complain, json, print, say } from "./output.ts";
import { listen, recv } from "./receive.ts";
import { send } from "./send.ts";
import { type Exit, end, Interrupted } from "./waiting.ts";

const COMMANDS: readonly Command[] = [
  send,
  recv,
  listen,
  decode,
  layout,
  abis,
  doctor,
  completion(() => COMMANDS),
  man(() => COMMANDS, version),
];

const OVERVIEW = `Passes open files, sockets and pipes from one process to another, over Unix sockets.

usage: unix-ancillary COMMAND [options] ...

${COMMANDS.map(({ name, summary }) => `  ${name.padEnd(12)}${summary}`).join("\n")}

  unix-ancillary COMMAND --help   prints what it does, its options, and examples
  unix-ancillary --version

to try it, in two terminals:
  unix-ancillary recv /tmp/demo.sock --fd 0 --exec cat
      waits for a descriptor, and prints what it reads from it
  unix-ancillary send /tmp/demo.sock /etc/hostname
      opens a file and passes its descriptor

exit codes:
${EXIT_CODES.map(([code, meaning]) => `  ${code}  ${meaning}`).join("\n")}
  ${EXIT_OF_EXEC}`;

/** Runs from a bundle in dist/. */
function version(): string {
  return JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")).version;
}

function commandNamed(name: string): Command {
  const command = COMMANDS.find((candidate) => candidate.name === name);
  if (command !== undefined) return command;
  const near = nearest(
    name,
    COMMANDS.map((candidate) => candidate.name),
  );
  const hint = near === null ? "for the list of commands: unix-ancillary --help" : `did you mean ${near}?`;
  throw usage(name.startsWith("-") ? `unknown option ${name} before the command` : `unknown command "${name}"`, hint);
}

function run(args: readonly string[]): Exit | Promise<Exit> {
  const [first, ...rest] = args;
  if (first === undefined)
    throw usage("expected a command, got nothing", "for the list of commands: unix-ancillary --help");
  if (first === "--help" || first === "-h" || (first === "help" && rest.length === 0)) {
    print(OVERVIEW);
    return 0;
  }
  if (first === "--version" || first === "-v" || first === "-V") {
    if (rest.includes("--json")) json({ version: version() });
    else print(version());
    return 0;
  }
  const command = commandNamed(first === "help" ? rest[0]! : first);
  const parsed = first === "help" ? null : parse(command, rest);
  if (parsed === null || parsed.has("help")) {
    print(help(command).trimEnd());
    return 0;
  }
  if (parsed.has("quiet")) beQuiet();
  return command.run(parsed);
}

/** Whether errors are printed as JSON. A `--json` after `--exec` belongs to the other command. */
function wantsJson(args: readonly string[]): boolean {
  const exec = args.findIndex((arg) => /^--exec(=|$)/.test(arg));
  return (exec === -1 ? args : args.slice(0, exec)).includes("--json");
}

function fail(error: unknown, asJson: boolean): Exit {
  if (error instanceof Interrupted) return error.signal;
  const { exit, code, message, hint } = failureOf(error);
  if (asJson) complain(JSON.stringify({ event: "error", exit, code, message, hint }));
  else say(hint === null ? message : `${message}\n  ${hint}`);
  return exit;
}

const args = process.argv.slice(2);
// No top-level await, as in the rest of the package.
Promise.resolve()
  .then(() => run(args))
  .catch((error) => fail(error, wantsJson(args)))
  .then(end);
