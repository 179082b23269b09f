/** The warning about descriptors that the garbage collector closed. */

import { now, timers, url } from "../system/builtins.ts";
import type { System } from "../system/system.ts";

/** Whether the warning shows where the owners were made. To note it takes longer than a send and a receive. */
export const TRACING: boolean = isTracing();

function isTracing(): boolean {
  try {
    return process.env.UNIX_ANCILLARY_TRACE === "1";
  } catch {
    // Deno, without leave to read the environment. The virtual kernel works there.
    return false;
  }
}

/** The most descriptors that one warning names. */
const NAMED = 5;

/** The stacks at which owners, and operations that wait, were made. */
const stacks = new WeakMap<object, string>();
/** The stack of the call that is being served, from the event loop. */
let served = "";

/** Notes where an owner is made. */
export function noteStack<T extends object>(owner: T): T {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 50;
  const stack = new Error().stack!.split("\n").slice(1);
  Error.stackTraceLimit = stackTraceLimit;
  // The frames of this file, which is the whole library, say nothing. Bun shows its path.
  const here = import.meta.url;
  const path = url.fileURLToPath(here);
  const callers = stack.filter((line) => !line.includes(here) && !line.includes(path));
  stacks.set(owner, callers.length === 0 ? served : callers.slice(0, stackTraceLimit).join("\n"));
  return owner;
}

/** Notes that `heir` is the owner, or the record of it, that the garbage collector reports. */
export function inheritStack(heir: object, owner: object): void {
  stacks.set(heir, stacks.get(owner) ?? "");
}

/** Makes an operation that may wait note its caller. What it makes later, in a turn of the event loop, is noted as made there. */
export function noteCaller(operation: { perform(fd: number): unknown }): void {
  const { perform } = Object.getPrototypeOf(operation) as typeof operation;
  const stack = stacks.get(noteStack({ operation }))!;
  operation.perform = function (fd) {
    served = stack;
    try {
      return perform.call(this, fd);
    } finally {
      served = "";
    }
  };
}

/** What the kernel calls the file of a descriptor, for {@link reportLeak}. Never asks the server of a file system. */
export function fileOf(system: System, fd: number): string {
  const link = system.fdLink(fd);
  return link === null ? `${fd}` : `${fd} (${link})`;
}

let leaked = 0;
let reported = -Infinity;
const names: string[] = [];
const made: string[] = [];

/**
 * Counts a descriptor. At most one warning a second reports the number, and names some.
 *
 * @param file the result of {@link fileOf}, before it was closed
 * @param owner what was given to {@link noteStack}, or its heir
 */
export function reportLeak(file: string, owner: object): void {
  if (names.length < NAMED) {
    names.push(file);
    if (TRACING) made.push(`The owner of ${file} was made\n${stacks.get(owner) || "    by a call that is not known"}`);
  }
  if (leaked++ > 0) return;
  const wait = Math.max(0, reported + 1000 - now());
  const timer = timers.setTimeout(warn, wait);
  timer.unref();
}

function warn(): void {
  const [what, close, owners] =
    leaked === 1
      ? ["1 descriptor was", "Close it", "its owner was"]
      : [`${leaked} descriptors were`, "Close them", "their owners were"];
  const list = `${names.join(", ")}${leaked > names.length ? ", ..." : ""}`;
  const more = TRACING ? "" : ` UNIX_ANCILLARY_TRACE=1 shows where ${owners} made.`;
  const detail = TRACING ? { detail: made.join("\n") } : {};
  leaked = 0;
  names.length = 0;
  made.length = 0;
  reported = now();
  process.emitWarning(
    `${what} garbage-collected while open, and closed: ${list}. ${close} with close() or using.${more}`,
    { type: "ResourceWarning", code: "UNIX_ANCILLARY_FD_LEAK", ...detail },
  );
}
