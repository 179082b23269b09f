#!/usr/bin/env node
/** The command `unix-ancillary`. */

import { readFileSync } from "node:fs";
import { type Command, help, parse } from "./arguments.ts";
import { abis, decode, layout } from "./decode.ts";
import { doctor } from "./doctor.ts";
import { failureOf, nearest, usage } from "./failure.ts";
import { complain, json, print, say } from "./output.ts";
import { listen, recv } from "./receive.ts";
import { send } from "./send.ts";
import { end, Interrupted, type Outcome } from "./waiting.ts";

const COMMANDS: readonly Command[] = [send, recv, listen, decode, layout, abis, doctor];

const OVERVIEW = `Passes open files, sockets and pipes from one process to another, over Unix sockets.

usage: unix-ancillary COMMAND [options] ...

${COMMANDS.map(({ name, summary }) => `  ${name.padEnd(10)}${summary}`).join("\n")}

  unix-ancillary COMMAND --help   what it does, its options, examples
  unix-ancillary --version

the first time, in two terminals:
  unix-ancillary recv /tmp/demo.sock --fd 0 --exec cat
      waits for a descriptor, and shows what can be read from it
  unix-ancillary send /tmp/demo.sock /etc/hostname
      opens a file and passes it

exit codes:
  0  done
  1  failed
  2  the command line cannot be meant
  3  nothing came, or less than --count; decode: malformed
  4  --timeout is over
  of recv --exec: the command's own, 126 or 127 when it cannot be run; a signal that ended it ends recv`;

/** The bundle lies in dist/. */
function version(): string {
  return JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")).version;
}

function commandNamed(name: string): Command {
  const command = COMMANDS.find((one) => one.name === name);
  if (command !== undefined) return command;
  const near = nearest(
    name,
    COMMANDS.map((one) => one.name),
  );
  const hint = near === null ? "unix-ancillary --help lists them" : `did you mean ${near}?`;
  throw usage(
    name.startsWith("-") ? `there is no option ${name} before a command` : `there is no command "${name}"`,
    hint,
  );
}

function run(args: readonly string[]): Outcome | Promise<Outcome> {
  const [first, ...rest] = args;
  if (first === undefined) throw usage("expected a command, got nothing", "unix-ancillary --help lists them");
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
  const given = first === "help" ? null : parse(command, rest);
  if (given === null || given.has("help")) {
    print(help(command).trimEnd());
    return 0;
  }
  return command.run(given);
}

/** Whether errors are for a program: what belongs to `--exec` is not ours. */
function wantsJson(args: readonly string[]): boolean {
  const exec = args.indexOf("--exec");
  return (exec === -1 ? args : args.slice(0, exec)).includes("--json");
}

function fail(error: unknown, asJson: boolean): Outcome {
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
