/** Runs a command with descriptors, as systemd starts a service with its sockets (sd_listen_fds(3)). */

import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { isatty } from "node:tty";
import type { OwnedFd } from "../index.ts";
import { hostPlatform } from "../system/platform.ts";
import { usage } from "./failure.ts";
import { say, textOf } from "./output.ts";
import type { Outcome } from "./waiting.ts";

/** SD_LISTEN_FDS_START. */
const FIRST = 3;

/** What a command must not believe it was given: the variables of the protocol, and our own. */
const DATA = "UNIX_ANCILLARY_DATA";
const VARIABLES = ["LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES", DATA];

/** Longest value of {@link DATA}: Linux takes 128 KiB a variable (MAX_ARG_STRLEN). */
export const DATA_BYTES: number = 65536;

/** The shell replaces itself by the command, so that the pid which it writes down is the command's. */
const SCRIPT = 'export LISTEN_PID=$$; exec "$@"';

/** Passed on while a command runs. */
const FORWARDED = ["SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;

/** How commands are run. */
export interface RunnerOptions {
  readonly command: readonly string[];
  /** Of LISTEN_FDNAMES: one for all, or one each. */
  readonly names: readonly string[];
  /** The numbers that the descriptors get, without the variables; empty: 3, 4, ..., with them. */
  readonly numbers: readonly number[];
  /** Whether commands read what we would; else nothing. */
  readonly stdin: boolean;
}

/** The names in `--name` values. @throws Failure for what systemd would not take (fdname_is_valid) */
export function namesOf(values: readonly string[]): string[] {
  return values.flatMap((value) =>
    value.split(":").map((name) => {
      if (!/^[\x20-\x7e]{1,255}$/.test(name))
        throw usage(`--name expected 1 to 255 printable ASCII characters without ":", got "${name}"`);
      return name;
    }),
  );
}

/** Runs a command, as often as it is asked to. */
export class Runner {
  readonly #options: RunnerOptions;
  readonly #running = new Set<ChildProcess>();

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  /** Runs the command with these descriptors, and closes them here; how it ended. */
  async run(fds: readonly OwnedFd[], data: Buffer, omitted: number): Promise<Outcome> {
    const { command, numbers, stdin } = this.#options;
    closeOnExec();
    const stdio: ("inherit" | "ignore" | number)[] = [stdin ? "inherit" : "ignore", "inherit", "inherit"];
    for (const [i, fd] of fds.entries()) {
      const number = numbers[i] ?? FIRST + i;
      while (stdio.length < number) stdio.push("ignore");
      stdio[number] = fd.fd;
    }
    const env = this.#environment(fds.length, data, omitted);
    const [file, args] =
      numbers.length > 0 ? [command[0]!, command.slice(1)] : ["/bin/sh", ["-c", SCRIPT, "unix-ancillary", ...command]];
    try {
      const child = spawn(file, args, { stdio, env });
      for (const fd of fds) fd.close();
      return await this.#end(child, file);
    } finally {
      for (const fd of fds) fd.close();
    }
  }

  #environment(count: number, data: Buffer, omitted: number): NodeJS.ProcessEnv {
    const { names, numbers } = this.#options;
    const env = { ...process.env };
    for (const name of VARIABLES) delete env[name];
    if (numbers.length === 0) {
      if (names.length > 1 && names.length !== count)
        say(`${names.length} names were given for ${count} descriptors: those without one are called "unknown"`);
      env.LISTEN_FDS = String(count);
      env.LISTEN_FDNAMES = Array.from(
        { length: count },
        (_, i) => (names.length === 1 ? names[0] : names[i]) ?? "unknown",
      ).join(":");
    }
    const text = textOf(data);
    // A NUL alone is what descriptors travel with when there is nothing to say.
    if (omitted > 0 || text === null || (text.includes("\0") && text !== "\0"))
      say(
        `${data.length + omitted} bytes came that are no text of at most ${DATA_BYTES} bytes: the command does not get them`,
      );
    else if (text !== "\0") env[DATA] = text;
    return env;
  }

  #end(child: ChildProcess, file: string): Promise<Outcome> {
    if (this.#running.size === 0) for (const signal of FORWARDED) process.on(signal, this.#forward);
    this.#running.add(child);
    return new Promise<Outcome>((resolve) => {
      child.on("error", (error: NodeJS.ErrnoException) => {
        // The exit codes of shells.
        say(`${file}: ${error.message}`);
        resolve(error.code === "ENOENT" ? 127 : 126);
      });
      child.on("exit", (code, signal) => resolve(signal ?? code!));
    }).finally(() => {
      this.#running.delete(child);
      if (this.#running.size === 0) for (const signal of FORWARDED) process.off(signal, this.#forward);
    });
  }

  /** What a terminal sends with a key goes to the command too: it would get it twice. */
  readonly #forward = (signal: NodeJS.Signals): void => {
    const key = signal === "SIGINT" || signal === "SIGQUIT";
    if (key && [0, 1, 2].some((fd) => isatty(fd))) return;
    for (const child of this.#running) child.kill(signal);
  };
}

/** So that a command gets what it is given, and nothing that we were started with. Node sees to most of it, not to all. */
function closeOnExec(): void {
  const { system, constants } = hostPlatform();
  const { F_GETFD, F_SETFD, FD_CLOEXEC } = constants as Record<string, number>;
  let open: string[];
  try {
    open = readdirSync("/dev/fd");
  } catch {
    return;
  }
  for (const name of open) {
    const flags = Number(name) <= 2 ? -1 : system.fcntl(Number(name), F_GETFD!, 0);
    if (flags >= 0 && (flags & FD_CLOEXEC!) === 0) system.fcntl(Number(name), F_SETFD!, flags | FD_CLOEXEC!);
  }
}
