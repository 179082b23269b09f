/** One call with arguments that run code, and what must hold whatever that code does. */

import type { ChildProcess } from "node:child_process";
import { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { inspect } from "node:util";
import { isMainThread } from "node:worker_threads";
import { AncillaryError, ChannelError, OwnedFd, UnixListener, UnixStream } from "unix-ancillary";
import { HandOffError } from "unix-ancillary/handoff";
import { SLOWNESS } from "../support.ts";
import { type Style, Trap } from "./arguments.ts";
import type { Recipe } from "./recipe.ts";
import { applies, countFds, drain, EFFECTS, front, PAYLOAD, Seen, WAITING, World, watchdog } from "./world.ts";

/** One call: what is wrapped how, whether it has to wait, and what the caller's code does at which of its runs. */
export interface Row {
  readonly name: string;
  readonly recipe: Recipe;
  readonly style: Style;
  readonly later: boolean;
  readonly acts: readonly { readonly at: number; readonly effect: string }[];
}

export interface Outcome {
  readonly trap: Trap;
  readonly world: World;
  readonly problems: readonly string[];
  /** Runs of the caller's code before the call. */
  readonly made: number;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Whether an error says what it is. */
function explained(error: unknown, world: World): boolean {
  if (error === world.thrown || error === world.reason) return true;
  const { code, errno, syscall, cause } = error as {
    code?: unknown;
    errno?: unknown;
    syscall?: unknown;
    cause?: unknown;
  };
  if ([AncillaryError, ChannelError, HandOffError].some((type) => error instanceof type)) return true;
  // Of a proxy of an object of the library, by the engine: V8's words, JavaScriptCore's.
  if (error instanceof TypeError && /private (member|field)/.test(error.message)) return true;
  if (error instanceof TypeError || error instanceof RangeError)
    return typeof code === "string" && code.startsWith("ERR_");
  // Of Node, for a stream that was destroyed.
  if (typeof code === "string" && code.startsWith("ERR_STREAM_")) return true;
  if (code === "ABORT_ERR") return cause === world.reason;
  return error instanceof Error && typeof errno === "number" && errno < 0 && typeof syscall === "string";
}

/** Closes what a call brought. */
function closeAll(value: unknown): void {
  if (typeof value !== "object" || value === null) return;
  if (value instanceof Socket) value.destroy();
  else if ("close" in value && typeof value.close === "function") value.close();
  else if (Array.isArray(value)) value.forEach(closeAll);
  else if ("channel" in value) closeAll(value.channel);
  else if (Symbol.dispose in value) (value as Disposable)[Symbol.dispose]();
  else if ("value" in value) closeAll(value.value);
}

const hasFd = (value: unknown): value is { readonly fd: number; readonly closed: boolean } =>
  (value instanceof UnixStream || value instanceof UnixListener || value instanceof OwnedFd) && !value.closed;

/** What a call received. */
function received(value: unknown, into: readonly Uint8Array[] | undefined, seen: Seen): void {
  if (typeof value !== "object" || value === null) return;
  const message = ("value" in value ? value.value : value) as { data?: Buffer; bytesRead?: number; fds?: OwnedFd[] };
  const text = message.data?.toString("latin1") ?? front(into ?? [], message.bytesRead ?? 0);
  seen.add(text, message.fds ?? []);
}

interface Settled {
  readonly value?: unknown;
  readonly error?: unknown;
}

/** Looks at a promise without waiting for it. */
function watch(promise: Promise<unknown>): { settled: Settled | null } {
  const watched: { settled: Settled | null } = { settled: null };
  promise.then(
    (value) => {
      watched.settled = { value };
    },
    (error) => {
      watched.settled = { error };
    },
  );
  return watched;
}

/**
 * Waits for something that comes at once, as a rule. Turns of the event loop are counted and not time, which says little on a
 * machine that is busy.
 */
async function until(there: () => boolean, turns = 60): Promise<boolean> {
  for (let i = 0; !there(); i++) {
    if (i === turns) return false;
    await (i < 20 ? turn() : sleep(1));
  }
  return true;
}

const CLOSES = ["closes the socket", "closes the socket, another gets its number", "hands the socket over"];

const dog = isMainThread ? await watchdog(20_000 * SLOWNESS) : null;

/** What nothing caught, meanwhile. */
const uncaught: unknown[] = [];
process.on("uncaughtException", (error) => uncaught.push(error));

/** Whether the `at`-th run of the caller's code is where the library stops listening to a signal: behind the system call. */
function letsGo(hits: readonly string[], at: number): boolean {
  const listened = hits.slice(0, at - 1).some((hit) => /signal\.(addEventListener|Symbol\(kNewListener\))$/.test(hit));
  return listened && /signal\.(removeEventListener|constructor|Symbol\(k\w+\))$/.test(hits[at - 1]!);
}

/** Makes a call, and looks at what came of it. */
export async function perform({ name, recipe, style, later, acts }: Row): Promise<Outcome> {
  const problems: string[] = [];
  const before = countFds();
  const world = new World(recipe.kind, later);
  const done: string[] = [];
  const trap = new Trap(style, (hit) => {
    for (const { at, effect } of acts) {
      if (at !== hit || !applies(effect, world)) continue;
      done.push(effect);
      EFFECTS[effect]!.run(world);
    }
  });
  const intos: (readonly Uint8Array[] | undefined)[] = [];
  world.again = () => {
    const call = recipe.make(world, new Trap("plain", () => {}));
    intos.push(call.into);
    return call.run();
  };
  dog?.begin(`${name} ${style} ${later} ${inspect(acts)}`);
  const call = recipe.make(world, trap);
  if (later && recipe.moves === "sends") world.fill();
  const made = trap.hits.length;
  const main = watch((async () => call.run())());
  const peerSaw = new Seen();
  if (later) {
    await turn();
    if (recipe.moves === "sends") drain(world.peer!, peerSaw, later ? 1 << 16 : 1000);
    else world.release();
  }
  if (!(await until(() => main.settled !== null))) problems.push("does not settle");
  const nested = world.nested.map(watch);
  await until(() => nested.every(({ settled }) => settled !== null), 20);
  const { settled } = main;
  const failed = settled !== null && "error" in settled;
  const error = settled?.error;

  if (failed) {
    const code = (error as { code?: unknown } | null)?.code;
    if (!explained(error, world)) problems.push(`not explained: ${inspect(error)}`);
    if (done.some((effect) => CLOSES.includes(effect)) && (code === "EBADF" || code === "ENOTSOCK"))
      problems.push(`made a system call with the number of a closed socket: ${inspect(error)}`);
  } else if (
    settled !== null &&
    recipe.moves !== null &&
    done.some((effect) => CLOSES.includes(effect)) &&
    world.subject!.closed
  ) {
    if (acts.every(({ at }) => !letsGo(trap.hits, at)))
      problems.push(`succeeds on a socket that was closed: ${inspect(settled?.value)}`);
  }
  // A replaced value has methods that may fail.
  const throwers = acts.filter(({ effect }) => effect === "throws");
  // Code that closes the socket, and then throws: the close may have failed the operation before.
  const closed =
    done.some((effect) => CLOSES.includes(effect)) &&
    ["ERR_SOCKET_CLOSED", "ERR_FD_CLOSED"].includes((error as { code?: string } | null)?.code ?? "");
  if (
    settled !== null &&
    typeof style !== "number" &&
    done.includes("throws") &&
    error !== world.thrown &&
    !closed &&
    throwers.every(({ at }) => !letsGo(trap.hits, at))
  )
    problems.push(`what was thrown is lost: ${inspect(settled)}`);

  // What is sent then is what is there; and a record that is longer than what is there is cut.
  const changed = done.some((effect) => EFFECTS[effect]!.needs === "memory");
  const seen = new Seen();
  received(settled?.value, call.into, seen);
  received(error, undefined, seen);
  for (const [i, one] of nested.entries()) {
    received(one.settled?.value, intos[world.repeats.indexOf(i)], seen);
    received(one.settled?.error, undefined, seen);
  }
  if (seen.text.includes("SECRET") || seen.files.includes("secret")) problems.push("received from another connection");
  if (hasFd(settled?.value) && world.isBystander(settled.value)) problems.push("took over another connection");
  problems.push(...world.bystanderProblems());
  // Memory that is taken away behind the system call, of this call or of one within, takes what was received with it.
  const repeatedInto = changed && intos.some((into) => into !== undefined);
  const emptied =
    repeatedInto || acts.some(({ effect, at }) => EFFECTS[effect]!.needs === "memory" && letsGo(trap.hits, at));
  if (recipe.moves === "receives" && !world.socket!.closed && !(changed && recipe.kind !== "stream") && !emptied) {
    drain(world.socket!, seen);
    for (const text of WAITING)
      if (seen.count(text) !== 1) problems.push(`${text} was received ${seen.count(text)} times, in ${seen.text}`);
  }
  if (seen.files.some((file) => file !== "own")) problems.push(`received descriptors of ${seen.files}`);
  if (recipe.moves === "sends") {
    drain(world.peer!, peerSaw, later ? 1 << 16 : 1000);
    const repeated = world.repeats.filter((i) => "value" in (nested[i]!.settled ?? {})).length;
    // An ancillary buffer that is still being filled, or filled once more.
    const added = done.includes("adds to the ancillary buffer") || done.includes("empties the ancillary buffer");
    const sent = (settled === null || failed ? 0 : 1) + repeated;
    if (!changed && peerSaw.count(PAYLOAD) !== sent)
      problems.push(`${sent} sends succeeded, the peer has ${JSON.stringify(peerSaw.text)}`);
    const given = peerSaw.files.filter((file) => file === "given").length;
    const own = peerSaw.files.filter((file) => file === "own").length;
    if (given + own < peerSaw.files.length || own !== peerSaw.count("nested"))
      problems.push(`descriptors of ${peerSaw.files} were sent`);
    else if (given !== 3 * sent && !(world.ancillary !== null && (repeated > 0 || added)))
      problems.push(`${given} descriptors came with ${sent} sends`);
  }

  for (const one of [main, ...nested]) closeAll(one.settled?.value);
  try {
    world.close();
  } catch (closing) {
    problems.push(`closing: ${inspect(closing)}`);
  }
  if (settled === null && (await until(() => main.settled !== null))) closeAll(main.settled!.value);
  if (!(await until(() => nested.every((one) => one.settled !== null)))) problems.push("a call within does not settle");
  for (const one of uncaught.splice(0)) problems.push(`uncaught: ${inspect(one)}`);
  const child = (settled?.value as { child?: ChildProcess } | undefined)?.child;
  if (child !== undefined) await until(() => child.exitCode !== null || child.signalCode !== null, 10_000);
  if (!(await until(() => countFds() === before))) problems.push(`${countFds() - before} descriptors more than before`);
  return {
    trap,
    world,
    problems: problems.map((problem) => `${describe({ name, recipe, style, later, acts }, trap)}: ${problem}`),
    made,
  };
}

export function describe({ name, recipe, style, later, acts }: Row, { hits }: Trap): string {
  const what = acts.map(({ at, effect }) => `${effect} at ${at}, ${hits[at - 1] ?? "never"}`);
  return `${name} (${recipe.kind}, ${style}${later ? ", waiting" : ""}) ${what.join("; ")}`;
}
