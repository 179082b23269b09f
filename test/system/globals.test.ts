/** What a program does to the globals: fake timers, a polluted prototype, replaced built-ins, jsdom and other realms. */

import { mock } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import * as library from "unix-ancillary";
import * as assert from "uvu/assert";
import { again, leakChecked, PAIRS, role, run, socketPath } from "../support.ts";
import { everything } from "./everything.ts";

const test = leakChecked("globals");

/** Each is done to the globals of a second process, after the library was loaded. */
const DONE: Readonly<Record<string, () => unknown>> = {
  "the fake timers of node:test"() {
    mock.timers.enable({ apis: ["setTimeout", "setImmediate", "setInterval", "Date"] });
  },
  "timers and clocks that stand still"() {
    const still = () => ({ ref() {}, unref() {}, hasRef: () => false });
    for (const name of ["setTimeout", "setImmediate", "setInterval", "queueMicrotask"])
      Object.defineProperty(globalThis, name, { value: still });
    for (const name of ["clearTimeout", "clearImmediate", "clearInterval"])
      Object.defineProperty(globalThis, name, { value() {} });
    Object.defineProperty(performance, "now", { value: () => 0 });
    Date.now = () => 0;
    process.hrtime = Object.assign(() => [0, 0] as [number, number], { bigint: () => 0n });
  },
  "a polluted Object.prototype"() {
    const { prototype } = Object as unknown as { prototype: Record<string, unknown> };
    prototype.extend = () => {
      throw new Error("called");
    };
    prototype.version = 1;
    prototype.done = true;
    prototype.code = "ECONNRESET";
  },
  "a polluted Array.prototype"() {
    const { prototype } = Array as unknown as { prototype: Record<string, unknown> };
    prototype.last = () => {
      throw new Error("called");
    };
    prototype.fd = -1;
  },
};

for (const [what, change] of Object.entries(DONE)) {
  if (role === what) {
    change();
    await everything(library, process.argv[2]!);
    console.log("all of it");
    // Fake timers cannot end it.
    process.exit(0);
  }
  test(`after ${what} everything works as before`, async () => {
    const env = { NODE_OPTIONS: "--no-warnings" };
    const { code, stdout, stderr } = await again(import.meta.url, what, [socketPath()], { env });
    assert.is(stderr, "");
    assert.is(stdout, "all of it\n");
    assert.is(code, 0);
  });
}

/** The flags of Node that freeze or remove what programs change. */
for (const flag of ["--frozen-intrinsics", "--disable-proto=throw", "--disable-proto=delete"]) {
  if (role === flag) {
    await everything(library, process.argv[2]!);
    console.log("all of it");
  }
  test(`with ${flag} everything works`, async () => {
    const NODE_OPTIONS = `${flag} --no-warnings`;
    const { stdout, stderr } = await again(import.meta.url, flag, [socketPath()], { env: { NODE_OPTIONS } });
    assert.is(stderr, "");
    assert.is(stdout, "all of it\n");
  });
}

const FOREIGN = [
  ["before", "web classes of another implementation"],
  ["after", "web classes of another implementation"],
  ["before", "classes of another realm"],
  ["after", "classes of another realm"],
  ["after", "no globals at all"],
  ["in", "another realm, as with jest"],
] as const;

for (const [when, what] of FOREIGN) {
  test(`${what}, ${when === "in" ? "where it is loaded" : `${when} it is loaded`}: everything works`, async () => {
    const program = fileURLToPath(new URL("foreign-globals.js", import.meta.url));
    const flags = ["--experimental-vm-modules", "--no-warnings"];
    const { stdout, stderr } = await run(process.execPath, [...flags, program, when, what, socketPath()]);
    assert.is(stderr, "");
    assert.is(stdout, "all of it\n");
  });
}

/** Replaces every method of the built-in objects while `body` runs, and lists those that are called. */
function calledBuiltins(body: () => void): string[] {
  const called = new Set<string>();
  const { apply } = Reflect;
  const { defineProperty, getOwnPropertyDescriptor } = Object;
  const restore: (() => void)[] = [];
  const add = Set.prototype.add;
  const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as object;
  const objects: [string, object][] = [
    ["Math", Math],
    ["Object", Object],
    ["Array", Array],
    ["Array.prototype", Array.prototype],
    ["ArrayBuffer", ArrayBuffer],
    ["TypedArray.prototype", typedArray],
    ["Buffer", Buffer],
    ["Buffer.prototype", Buffer.prototype],
    ["Map.prototype", Map.prototype],
    ["WeakMap.prototype", WeakMap.prototype],
    ["Number", Number],
    ["String.prototype", String.prototype],
  ];
  let on = false;
  for (const [name, object] of objects) {
    for (const key of Reflect.ownKeys(object)) {
      const descriptor = getOwnPropertyDescriptor(object, key)!;
      const original: unknown = descriptor.value;
      if (typeof original !== "function" || key === "constructor" || !descriptor.configurable) continue;
      const replaced = function (this: unknown, ...given: unknown[]): unknown {
        if (on) apply(add, called, [`${name}.${String(key)}`]);
        return apply(original, this, given);
      };
      defineProperty(object, key, { ...descriptor, value: replaced });
      restore[restore.length] = () => defineProperty(object, key, descriptor);
    }
  }
  on = true;
  try {
    body();
  } finally {
    on = false;
    for (let i = restore.length - 1; i >= 0; i--) restore[i]!();
  }
  return [...called];
}

test("built-ins that a program replaces do not run in a send, a receive or a close", async () => {
  for (const [, make] of PAIRS) {
    const [a, b] = make();
    const fds = [0, 1, 2];
    const data = Buffer.from("bytes");
    const large = Buffer.alloc(5000);
    // What is scheduled once is scheduled before.
    await sleep(20);
    a.sendFdsSync("warm", [0]);
    b.recvFdsSync(1)[Symbol.dispose]();
    const names = calledBuiltins(() => {
      a.sendFdsSync(data, fds);
      b.recvFdsSync(3)[Symbol.dispose]();
      a.trySendFds(large, fds);
      // Two of them are surplus.
      b.tryRecvFds(1, undefined)?.[Symbol.dispose]();
      a.sendFdsSync([data, data], [0]);
      b.recvFdsIntoSync([data, data], 1, undefined)[Symbol.dispose]();
    });
    // Before the call arguments are checked and an operation is made: V8's own constructor of a subclass iterates over an array.
    const before = ["Array.isArray", "Number.isInteger", "Array.prototype.Symbol(Symbol.iterator)"];
    assert.equal(
      names.filter((name) => !before.includes(name)),
      [],
    );
    a.close();
    b.close();
  }
});

if (role === undefined) test.run();
