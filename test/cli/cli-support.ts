/** Running the command `unix-ancillary` as its users do. */

import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { resolve } from "node:path";
import * as assert from "uvu/assert";
import { type Run, run, socketPath } from "../support.ts";

/** What `bin` in package.json names. */
export const MAIN: string = resolve("dist/cli.js");

/** Runs the command to its end. */
export const cli = (args: readonly string[], options: SpawnOptions = {}): Promise<Run> =>
  run(process.execPath, [MAIN, ...args], options);

/** The command while it runs. */
export interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<Run>;
  /** Until it has said this. */
  said(text: string): Promise<void>;
}

export function start(args: readonly string[], options: { stdio?: unknown[]; env?: NodeJS.ProcessEnv } = {}): Started {
  const stdio = (options.stdio ?? ["ignore", "pipe", "pipe"]) as "pipe"[];
  const child = spawn(process.execPath, [MAIN, ...args], { timeout: 30_000, ...options, stdio });
  let stdout = "";
  let stderr = "";
  let heard = () => {};
  child.stdout?.on("data", (bytes) => {
    stdout += bytes;
    heard();
  });
  child.stderr?.on("data", (bytes) => {
    stderr += bytes;
    heard();
  });
  let over = false;
  const ended = new Promise<Run>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      over = true;
      heard();
      resolve({ code, signal, stdout, stderr });
    });
  });
  const said = async (text: string) => {
    while (!`${stdout}${stderr}`.includes(text)) {
      if (over) throw new Error(`it ended without saying ${text}: ${stdout}${stderr}`);
      await new Promise<void>((resolve) => {
        heard = resolve;
      });
    }
  };
  return { child, ended, said };
}

/** Output in JSON, line by line. */
export const lines = (text: string) =>
  text
    .trim()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));

/** One `recv` and one `send`; the receiver's end. The sender has to have done it. */
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

/** A command for `--exec`. */
export const exec = (script: string) => ["--exec", "sh", "-c", script];
