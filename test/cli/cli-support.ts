/** Runs the command `unix-ancillary` as its users do. */

import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { resolve } from "node:path";
import * as assert from "uvu/assert";
import { type Run, run, SLOWNESS, socketPath } from "../support.ts";

/** The file that `bin` in package.json names. */
export const MAIN: string = resolve("dist/cli.js");

/** Runs the command to its end. */
export const cli = (args: readonly string[], options: SpawnOptions = {}): Promise<Run> =>
  run(process.execPath, [MAIN, ...args], options);

/** A running command. */
export interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<Run>;
  /** Waits until the command has printed this text. */
  said(text: string): Promise<void>;
}

export function start(args: readonly string[], options: { stdio?: unknown[]; env?: NodeJS.ProcessEnv } = {}): Started {
  const stdio = (options.stdio ?? ["ignore", "pipe", "pipe"]) as "pipe"[];
  const child = spawn(process.execPath, [MAIN, ...args], { timeout: 30_000 * SLOWNESS, ...options, stdio });
  let stdout = "";
  let stderr = "";
  let notify = () => {};
  child.stdout?.on("data", (bytes) => {
    stdout += bytes;
    notify();
  });
  child.stderr?.on("data", (bytes) => {
    stderr += bytes;
    notify();
  });
  let over = false;
  const ended = new Promise<Run>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      over = true;
      notify();
      resolve({ code, signal, stdout, stderr });
    });
  });
  const said = async (text: string) => {
    while (!`${stdout}${stderr}`.includes(text)) {
      if (over) throw new Error(`it ended without printing ${text}: ${stdout}${stderr}`);
      await new Promise<void>((resolve) => {
        notify = resolve;
      });
    }
  };
  return { child, ended, said };
}

/** Parses JSON output, line by line. */
export const lines = (text: string) =>
  text
    .trim()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));

/** Runs one `recv` and one `send`, which must succeed; returns the result of `recv`. */
export async function passed(
  recv: readonly string[],
  send: readonly string[],
  path = socketPath(),
  options = {},
): Promise<Run> {
  const receiver = start(["recv", path, ...recv], options);
  const sent = await cli(["send", "--wait", path, ...send]);
  assert.is(sent.code, 0, sent.stderr);
  return receiver.ended;
}

/** The arguments for `--exec` with a shell script. */
export const exec = (script: string) => ["--exec", "sh", "-c", script];
