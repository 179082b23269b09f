/** Runs a command with descriptors, as systemd passes sockets to a service (sd_listen_fds(3)). */

import { type ChildProcess, spawn } from "node:child_process";
import { isatty } from "node:tty";
import { CHANNEL_VARIABLES } from "../channel/channel.ts";
import type { OwnedFd } from "../index.ts";
import { withoutInheritance } from "../system/inherit.ts";
import { hostPlatform } from "../system/platform.ts";
import { usage } from "./failure.ts";
import { say, textOf } from "./output.ts";
import type { Exit } from "./waiting.ts";

/** SD_LISTEN_FDS_START. */
const FIRST = 3;

const DATA = "UNIX_ANCILLARY_DATA";

/** Variables that the command must not inherit: those of the protocol, and our own. */
const VARIABLES = ["LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES", DATA, ...CHANNEL_VARIABLES];

/** Longest value of {@link DATA}: on Linux a variable has at most 128 KiB (MAX_ARG_STRLEN). */
export const DATA_BYTES: number = 65536;

/** The shell replaces itself with the command: its pid in LISTEN_PID is then the command's. */
const SCRIPT = 'export LISTEN_PID=$$; exec "$@"';

/** Signals forwarded to running commands. */
const FORWARDED = ["SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;

/** How to run the command. */
interface RunnerOptions {
  readonly command: readonly string[];
  /** Names for LISTEN_FDNAMES: one for all descriptors, or one each. */
  readonly names: readonly string[];
  /** The numbers of the descriptors in the command, without the variables; empty: 3, 4, ..., with the variables. */
  readonly numbers: readonly number[];
  /** Whether the command inherits standard input; otherwise its standard input is empty. */
  readonly stdin: boolean;
}

/** The names in the values of `--name`. @throws Failure for names that systemd refuses (fdname_is_valid) */
export function namesOf(values: readonly string[]): string[] {
  return values.flatMap((value) =>
    value.split(":").map((name) => {
      if (!/^[\x20-\x7e]{1,255}$/.test(name))
        throw usage(`--name expected 1 to 255 printable ASCII characters without ":", got "${name}"`);
      return name;
    }),
  );
}

/** Runs a command, any number of times. */
export class Runner {
  readonly #options: RunnerOptions;
  readonly #running = new Set<ChildProcess>();

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  /** Runs the command with these descriptors, closes them here, and returns how the command ended. */
  async run(fds: readonly OwnedFd[], data: Buffer, omitted: number): Promise<Exit> {
    const { command, numbers, stdin } = this.#options;
    const stdio: ("inherit" | "ignore" | number)[] = [stdin ? "inherit" : "ignore", "inherit", "inherit"];
    for (const [i, fd] of fds.entries()) {
      const number = numbers[i] ?? FIRST + i;
      while (stdio.length < number) stdio.push("ignore");
      stdio[number] = fd.fd;
    }
    const env = this.#environment(fds.length, data, omitted);
    const [file, args] =
      numbers.length > 0 ? [command[0]!, command.slice(1)] : ["/bin/sh", ["-c", SCRIPT, "unix-ancillary", ...command]];
    let child: ChildProcess;
    try {
      child = withoutInheritance(hostPlatform(), () => spawn(file, args, { stdio, env }));
    } catch (error) {
      return notRun(file, error as NodeJS.ErrnoException);
    } finally {
      for (const fd of fds) fd.close();
    }
    return this.#end(child, file);
  }

  /** The environment of the command. */
  #environment(count: number, data: Buffer, omitted: number): NodeJS.ProcessEnv {
    const { names, numbers } = this.#options;
    const env = { ...process.env };
    for (const name of VARIABLES) delete env[name];
    if (numbers.length === 0) {
      if (names.length > 1 && names.length !== count)
        say(`--name gave ${names.length} names for ${count} descriptors: those without a name are called "unknown"`);
      env.LISTEN_FDS = String(count);
      env.LISTEN_FDNAMES = Array.from(
        { length: count },
        (_, i) => (names.length === 1 ? names[0] : names[i]) ?? "unknown",
      ).join(":");
    }
    const text = textOf(data);
    // A single NUL is the byte that carries descriptors without data.
    if (omitted > 0 || text === null || (text.includes("\0") && text !== "\0"))
      say(
        `${DATA} is not set: the ${data.length + omitted} bytes received are not text of at most ${DATA_BYTES} bytes`,
      );
    else if (text !== "\0") env[DATA] = text;
    return env;
  }

  #end(child: ChildProcess, file: string): Promise<Exit> {
    if (this.#running.size === 0) for (const signal of FORWARDED) process.on(signal, this.#forward);
    this.#running.add(child);
    return new Promise<Exit>((resolve) => {
      child.on("error", (error) => resolve(notRun(file, error)));
      child.on("exit", (code, signal) => resolve(signal ?? code!));
    }).finally(() => {
      this.#running.delete(child);
      if (this.#running.size === 0) for (const signal of FORWARDED) process.off(signal, this.#forward);
    });
  }

  /** Forwards a signal, unless a key sent it: the terminal has sent it to the command, too. */
  readonly #forward = (signal: NodeJS.Signals): void => {
    const key = signal === "SIGINT" || signal === "SIGQUIT";
    if (key && [0, 1, 2].some((fd) => isatty(fd))) return;
    for (const child of this.#running) child.kill(signal);
  };
}

/** Reports that the command cannot be run. Some errors Node throws, E2BIG for one, the others it emits. The exit codes are those of shells. */
function notRun(file: string, { code, message }: NodeJS.ErrnoException): Exit {
  say(`${file}: ${message}`);
  return code === "ENOENT" ? 127 : 126;
}
