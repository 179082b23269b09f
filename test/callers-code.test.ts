/**
 * Code of the caller's between a check and its use: every public operation is called with arguments that run code when they are
 * read, and that code does what it can to the socket, the descriptors and the memory of the call.
 *
 * Whatever it does: bytes and descriptors of another connection are not received, nothing is sent to one, no other file's
 * descriptor is sent, nothing leaks, nothing hangs, and the call does what it says or fails with a clear error.
 */

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import * as library from "unix-ancillary";
import * as handingOff from "unix-ancillary/handoff";
import * as assert from "uvu/assert";
import type { Style, Trap } from "./callers-code/arguments.ts";
import { perform, type Row } from "./callers-code/call.ts";
import { WITHOUT } from "./callers-code/others.ts";
import { type Recipe, recipes } from "./callers-code/recipe.ts";
import { fc } from "./properties.ts";
import "./callers-code/sockets.ts";
import "./callers-code/streams.ts";
import { applies, EFFECTS, ENDED, type World } from "./callers-code/world.ts";
import { leakChecked } from "./support.ts";

/** The members of each class that its declaration calls neither protected, private nor internal. */
function declared(): Map<string, Set<string>> {
  const folder = dirname(fileURLToPath(import.meta.resolve("unix-ancillary")));
  const classes = new Map<string, Set<string>>();
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".d.cts")) continue;
    const text = readFileSync(join(folder, name), "utf8");
    for (const [, owner, body] of text.matchAll(/^(?:export |declare |abstract )*class (\w+)((?:(?!\}).*\n)*)/gm)) {
      const members = new Set<string>();
      for (const [, comment, modifiers, member] of body!.matchAll(
        /^[ \t]+(?:(\/\*\*(?:(?!\*\/)[\s\S])*\*\/)\s*)?((?:\w+ )*)(\w+|\[Symbol\.\w+\])[(<:?]/gm,
      ))
        if (!comment?.includes("@internal") && !/\b(protected|private)\b/.test(modifiers!)) members.add(member!);
      classes.set(owner!, members);
    }
  }
  return classes;
}

/** Every public operation: functions, what can be constructed, static members and members, inherited ones among them. */
function operations(): string[] {
  const classes = declared();
  const members = (of: object, owner: string, skip: readonly string[]) =>
    Reflect.ownKeys(of)
      .map((key) => (typeof key === "symbol" ? `[${key.description}]` : key))
      .filter((name) => !skip.includes(name) && classes.get(owner)?.has(name) !== false);
  const found = new Set<string>();
  for (const [name, value] of Object.entries({ ...library, ...handingOff }) as [string, unknown][]) {
    if (typeof value !== "function") continue;
    if (Object.getOwnPropertyDescriptor(value, "prototype")?.writable !== false) {
      found.add(name);
      continue;
    }
    if (value.prototype instanceof Error || name === "SocketAncillary") found.add(`new ${name}`);
    for (let of = value; of !== Function.prototype; of = Object.getPrototypeOf(of)) {
      if (of === Error || of === TypeError || of === RangeError) break;
      for (const one of members(of, of.name, ["length", "name", "prototype"])) found.add(`${name}.${one}`);
      for (const one of members(of.prototype, of.name, ["constructor"])) found.add(`${name}#${one}`);
    }
  }
  // What these classes add to Node's.
  for (const owner of ["FdDuplex", "USocket", "UServer"])
    for (const member of classes.get(owner)!)
      found.add(member === "constructor" ? `new ${owner}` : `${owner}#${member}`);
  return [...found].sort();
}

/** What is tried in one style alone: the library does not see a difference. */
const ONCE = ["hands the socket over", "receives on the socket", "waits for a message on the socket"];
/** What is tried where one value is replaced by another kind of value, which is refused as a rule. */
const REFUSED = ["closes the socket, another gets its number", "throws"];

/** What is tried where a call is a process. */
const DEAR = ["throws", "calls the same", "closes the first descriptor, another gets the number"];

function effectsOn(world: World, recipe: Recipe, style: Style): string[] {
  return Object.keys(EFFECTS).filter((effect) => {
    if (!applies(effect, world)) return false;
    if (recipe.dear) return DEAR.includes(effect);
    return style === "getters" || (typeof style === "number" ? REFUSED.includes(effect) : !ONCE.includes(effect));
  });
}

/** The runs of the caller's code at which something is done: the first and the last in each place. */
function chosen({ hits }: Trap): number[] {
  const at = new Set<number>();
  for (const where of new Set(hits)) at.add(hits.indexOf(where) + 1).add(hits.lastIndexOf(where) + 1);
  return [...at].sort((a, b) => a - b);
}

/** How often an option is read at most: by its check and by its use, for each of the two ends of a pair. */
const MOST_READS = 5;

/** After so many problems a table is given up. */
const ENOUGH = 50;

/** Every style of arguments, every run of the caller's code, every effect. */
async function table(name: string, recipe: Recipe): Promise<string[]> {
  const problems: string[] = [];
  const styles: Style[] = recipe.brief ? ["getters"] : ["getters", "inherited", "proxies"];
  for (let i = 0; i < styles.length; i++) {
    const style = styles[i]!;
    for (const later of recipe.waits && typeof style !== "number" ? [false, true] : [false]) {
      const row = (acts: Row["acts"]): Row => ({ name, recipe, style, later, acts });
      const quiet = await perform(row([]));
      problems.push(...quiet.problems);
      if (typeof style === "number" && style + 1 < quiet.trap.leaves) styles.push(style + 1);
      if (style === "getters") {
        for (const where of new Set(quiet.trap.hits.filter((one) => /^#\d+\.\w+$/.test(one)))) {
          const reads = quiet.trap.hits.filter((one) => one === where).length;
          if (reads > MOST_READS) problems.push(`${name}: ${where} is read ${reads} times`);
        }
      }
      for (const at of chosen(quiet.trap)) {
        for (const effect of effectsOn(quiet.world, recipe, style)) {
          problems.push(...(await perform(row([{ at, effect }]))).problems);
          // What leaks or hangs takes time.
          if (problems.length > ENOUGH) return [...problems, "the rest was not tried"];
        }
      }
    }
    if (style === "proxies") styles.push(0);
  }
  return problems;
}

const test = leakChecked("callers-code");

test("every public operation is called, or takes nothing that runs code", () => {
  const without = Object.values(WITHOUT).flat();
  const named = (operation: string) =>
    without.some((one) => operation === one || (!/^\w/.test(one) && operation.endsWith(one)));
  const found = operations();
  assert.equal(
    found.filter((operation) => !recipes.has(operation) && !named(operation)),
    [],
    "operations without a recipe and without a reason for none",
  );
  assert.equal(
    [...recipes.keys()].filter((operation) => !found.includes(operation)),
    [],
    "recipes for what is not there",
  );
});

for (const [name, of] of recipes) {
  test(name, async () => {
    const problems: string[] = [];
    for (const recipe of of) problems.push(...(await table(name, recipe)));
    failWith(problems);
  });
}

function failWith(problems: readonly string[]): void {
  if (problems.length > 0) assert.unreachable(`${problems.length} problems:\n${problems.slice(0, 10).join("\n")}`);
}

test("several effects in one call, at any of its runs of the caller's code", async () => {
  const all = [...recipes].flatMap(([name, of]) => of.map((recipe) => [name, recipe] as const));
  const cheap = all.filter(([, { dear }]) => !dear);
  const act = fc.record({ at: fc.integer({ min: 1, max: 20 }), effect: fc.constantFrom(...Object.keys(EFFECTS)) });
  const calls = fc.record({
    call: fc.nat(cheap.length - 1),
    style: fc.constantFrom<Style>("getters", "inherited", "proxies", 0, 1, 2),
    later: fc.boolean(),
    acts: fc.uniqueArray(act, { minLength: 2, maxLength: 4, selector: ({ effect }) => effect }),
  });
  const property = fc.asyncProperty(calls, async ({ call, style, later, acts }) => {
    const [name, recipe] = cheap[call]!;
    const row = { name, recipe, style, later: later && recipe.waits && typeof style !== "number", acts };
    failWith((await perform(row)).problems);
  });
  await fc.assert(property, { numRuns: 1000, includeErrorInReport: true });
});

/** Calls in whose middle a thread ends: the first and the last run of the caller's code. */
const ENDS = [
  "UnixStream#sendFds",
  "UnixSeqpacket#sendFdsAllSync",
  "UnixDatagram#sendFdsTo",
  "UnixStream#recvFds",
  "UnixStream#recvFdsIntoSync",
  "sendmsg",
  "recvmsg",
  "UnixListener#accept",
  "FdReader#read",
  "FdChannel#send",
  "FdChannel.pair",
  "SocketAncillary#addFds",
];

test("a thread ends in code of its caller's: nothing of it stays open", async () => {
  for (const name of ENDS) {
    const { trap } = await perform(ending(name, []));
    assert.ok(trap.hits.length > 0, name);
    const ends = [1, trap.hits.length].map(async (at) => {
      const worker = new Worker(new URL(import.meta.url), {
        workerData: { name, at },
        env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: "worker" },
      });
      const code = await new Promise((resolve, reject) => worker.once("exit", resolve).once("error", reject));
      assert.is(code, ENDED, `${name} ends its thread at ${at}, ${trap.hits[at - 1]}`);
    });
    await Promise.all(ends);
  }
});

function ending(name: string, acts: Row["acts"]): Row {
  return { name, recipe: recipes.get(name)![0]!, style: "getters", later: false, acts };
}

if (isMainThread) test.run();
else {
  const { name, at } = workerData as { name: string; at: number };
  await perform(ending(name, [{ at, effect: "ends the thread" }]));
}
