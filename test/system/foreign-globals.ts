/** A second process of globals.test.ts: changes the globals, before or after it loads the library. */

// Node's modules read globals when they are loaded, and the library loads these late.
import "node:async_hooks";
import "node:child_process";
import { readFileSync } from "node:fs";
import "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type Context, createContext, runInContext, SourceTextModule } from "node:vm";
import "node:worker_threads";
import type { Library } from "./everything.ts";

type Listener = (event: object) => void;

/** An AbortSignal, an AbortController and an EventTarget, as a polyfill has them: the state is in own properties. */
class ForeignTarget {
  readonly listeners = new Set<Listener>();
  addEventListener(_type: string, listener: Listener): void {
    this.listeners.add(listener);
  }
  removeEventListener(_type: string, listener: Listener): void {
    this.listeners.delete(listener);
  }
}
class ForeignSignal extends ForeignTarget {
  aborted = false;
  reason: unknown = undefined;
}
class ForeignController {
  readonly signal = new ForeignSignal();
  abort(reason: unknown): void {
    this.signal.aborted = true;
    this.signal.reason = reason;
    for (const listener of this.signal.listeners) listener({});
  }
}

const WEB: Readonly<Record<string, unknown>> = {
  AbortController: ForeignController,
  AbortSignal: ForeignSignal,
  EventTarget: ForeignTarget,
  Event: class {},
  DOMException: class extends Error {},
};
/** What jsdom does not have. */
const MISSING = [
  "TextEncoder",
  "TextDecoder",
  "setImmediate",
  "clearImmediate",
  "structuredClone",
  "performance",
  "atob",
];
const REALM =
  "Array ArrayBuffer BigInt BigUint64Array DataView Error Function Int32Array JSON Map Math Number Object Promise RangeError Set " +
  "String Symbol TypeError Uint8Array Uint32Array WeakMap WeakSet WebAssembly";

const set = (name: string, value: unknown): void =>
  void Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });

/** Node 20 has these symbols only in its own realm; jest provides them. */
function addSymbols(realm: Context): void {
  const symbol = runInContext("Symbol", realm) as object;
  for (const name of ["dispose", "asyncDispose"] as const) Object.defineProperty(symbol, name, { value: Symbol[name] });
}

const CHANGES: Readonly<Record<string, () => void | Promise<void>>> = {
  "web classes of another implementation"() {
    for (const name of MISSING) Reflect.deleteProperty(globalThis, name);
    for (const [name, value] of Object.entries(WEB)) set(name, value);
    for (const name of ["setTimeout", "clearTimeout", "queueMicrotask"])
      set(name, () => {
        throw new Error(`called ${name}`);
      });
  },
  "classes of another realm"() {
    const realm = createContext();
    addSymbols(realm);
    const [names, own] = [REALM.split(" "), runInContext("globalThis", realm) as Record<string, unknown>];
    for (const name of names) set(name, own[name]);
  },
  async "no globals at all"() {
    const names = Object.getOwnPropertyNames(globalThis);
    const { defineProperty } = Object;
    const [Failure, Global] = [Error, globalThis];
    // Node makes some when they are read, from version 22 on when they are replaced, too; and needs others for it, also a little later.
    for (const name of names) Reflect.get(globalThis, name);
    await sleep(100);
    for (const name of names) {
      if (["globalThis", "undefined", "NaN", "Infinity"].includes(name)) continue;
      const get = () => {
        throw new Failure(`read ${name}`);
      };
      defineProperty(Global, name, { get, configurable: true });
    }
  },
};

/** Loads the library in a context of its own, which has the web classes of another implementation. */
async function loadInAnotherRealm(): Promise<Library> {
  const context = createContext({ ...WEB, process, Buffer, console, URL });
  addSymbols(context);
  const loaded = new Map<string, SourceTextModule>();
  const load = (identifier: string): SourceTextModule => {
    const known = loaded.get(identifier);
    if (known !== undefined) return known;
    const module = new SourceTextModule(readFileSync(new URL(identifier), "utf8"), {
      identifier,
      context,
      initializeImportMeta: (meta) => void Object.assign(meta, { url: identifier }),
    });
    loaded.set(identifier, module);
    return module;
  };
  const entry = load(import.meta.resolve("unix-ancillary"));
  await entry.link((specifier, { identifier }) => load(new URL(specifier, identifier).href));
  await entry.evaluate();
  return entry.namespace as Library;
}

const [, , when, what, path] = process.argv;
const { exit, stdout } = process;
const change = when === "in" ? () => {} : CHANGES[what!]!;
const { Error: OwnError } = globalThis;
const controllers = [new ForeignController(), new AbortController()];
const { everything } = await import("./everything.ts");
if (when === "before") await change();
const library = when === "in" ? await loadInAnotherRealm() : await import("unix-ancillary");
if (when === "after") await change();

await everything(library, path!);
for (const controller of controllers) {
  const [a, b] = library.UnixStream.pair();
  const aborted = b.recvFds(1, { signal: controller.signal as AbortSignal }).catch((reason) => reason);
  await sleep(1);
  controller.abort("enough");
  if ((await aborted) !== "enough") throw new OwnError("the reason is lost");
  a.close();
  b.close();
}
stdout.write("all of it\n", () => exit(0));
