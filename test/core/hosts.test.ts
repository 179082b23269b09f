/** The core where the host lacks something, or has it twice: realms, WebAssembly, room for its memory. */

import { resolve } from "node:path";
import { runInNewContext } from "node:vm";
import { type Abi, abis, Codec, type ControlMessage, inspect } from "unix-ancillary/core";
import * as assert from "uvu/assert";
import { errorOf, leakChecked, run, works } from "../support.ts";

const test = leakChecked("hosts");
const codec = new Codec("linux-x86_64-glibc");
const control = codec.encode([codec.rights([7, 9])]);

const CORE = JSON.stringify(resolve("dist/core/index.js"));
const LIBRARY = JSON.stringify(resolve("dist/index.js"));
const program = (script: string): string[] => ["--input-type=module", "-e", script];

test("a Uint8Array of another realm is one", async () => {
  const foreign = runInNewContext("Uint8Array.from(bytes)", { bytes: [...control] }) as Uint8Array;
  assert.not(foreign instanceof Uint8Array);
  assert.equal(codec.decode(foreign), codec.decode(control));
  assert.is(inspect(codec.abi, foreign), inspect(codec.abi, control));
  assert.equal(codec.verdict({ control: foreign, flags: 0, maxFds: 2 }).keep, [7, 9]);
  const { level, type } = codec.rights([1]);
  const data = runInNewContext("Uint8Array.of(1, 2, 3, 4)") as Uint8Array;
  assert.equal(codec.decode(codec.encode([{ level, type, data }])).messages[0]!.data, Uint8Array.of(1, 2, 3, 4));
  const into = runInNewContext("new Uint8Array(24)") as Uint8Array;
  assert.is(codec.encodeInto([codec.rights([7, 9])], into), control.length);
  assert.equal([...into], [...control]);
});

test("what has the prototype of a Uint8Array, or its members, and no memory is none", async () => {
  const fakes = [
    Object.create(Uint8Array.prototype),
    new Proxy(control, {}),
    new Uint16Array(12),
    new DataView(new ArrayBuffer(24)),
    { length: 0 },
  ];
  for (const fake of fakes) {
    for (const call of [() => codec.decode(fake), () => inspect(codec.abi, fake), () => codec.encodeInto([], fake)])
      assert.is(((await errorOf(call)) as { code?: string }).code, "ERR_INVALID_ARG_TYPE");
  }
});

test("what a Uint8Array has of its own does not run", () => {
  const view = Uint8Array.from(control);
  for (const name of ["length", "byteLength", "byteOffset", "buffer", "subarray", "slice", "set", "constructor"])
    Object.defineProperty(view, name, { get: () => assert.unreachable(name) });
  assert.equal(codec.decode(view), codec.decode(control));
  assert.is(inspect(codec.abi, view), inspect(codec.abi, control));
  const { level, type } = codec.rights([1]);
  assert.is(codec.encode([{ level, type, data: view }]).length, codec.space(control.length));
  assert.is(codec.encodeInto([], view), 0);
});

/** Calls of all other codecs, which change all that a core keeps. */
function disturb(): void {
  for (const other of [new Codec("freebsd-i386"), new Codec("linux-s390x-glibc"), codec]) {
    other.decode(other.encode([other.rights([1, 2, 3]), other.rights([4])]));
    other.verdict({ control: other.encode([other.rights([5])]), flags: 0, maxFds: 0 });
  }
}

test("a getter of a message calls other codecs: each call keeps its own", () => {
  const plain = [codec.rights([7, 9]), codec.rights([11])];
  const read = (message: ControlMessage): ControlMessage => ({
    get level() {
      disturb();
      return message.level;
    },
    get type() {
      disturb();
      return message.type;
    },
    get data() {
      disturb();
      return message.data;
    },
  });
  assert.equal(codec.encode(plain.map(read)), codec.encode(plain));
  const fds = [7, 9, 11];
  const list = Object.defineProperty([...fds], 1, {
    get() {
      disturb();
      return 9;
    },
  });
  assert.equal(codec.rights(list), codec.rights(fds));
  const credentials = { pid: 1, uid: 2, gid: 3 };
  const given = {
    ...credentials,
    get gid() {
      disturb();
      return 3;
    },
  };
  assert.equal(codec.credentials(given), codec.credentials(credentials));
  assert.equal(
    codec.verdict({
      control,
      flags: 0,
      get maxFds() {
        disturb();
        return 1;
      },
    }).close,
    [9],
  );
});

test("codecs in turn, of every row and of a row that its caller changes", () => {
  const rows = Object.values(abis).map((abi) => new Codec(abi));
  const expected = rows.map((one) => one.encode([one.rights([3])]));
  const own: { -readonly [key in keyof Abi]: Abi[key] } = { ...codec.abi };
  const changed = new Codec(own);
  own.SCM_RIGHTS = 99;
  own.headerBytes = 4;
  for (let turn = 0; turn < 3; turn++) {
    for (const [i, one] of rows.entries()) assert.equal(one.encode([one.rights([3])]), expected[i]);
    assert.equal(changed.decode(control).malformed, null);
  }
  assert.throws(() => new Codec({ ...codec.abi, alignBytes: 3 }), /expected a layout that can be walked/);
  assert.equal(codec.encode([codec.rights([7, 9])]), control);
});

test("many codecs are one instance", async () => {
  const script = `
    let instances = 0;
    const { Instance } = WebAssembly;
    WebAssembly.Instance = function (...given) { instances++; return new Instance(...given); };
    const { abis, Codec } = await import(${CORE});
    const codecs = [];
    for (let i = 0; i < 1000; i++) for (const name of Object.keys(abis)) codecs.push(new Codec(name));
    console.log(instances);`;
  const { stdout, stderr } = await run(process.execPath, program(script));
  assert.is(stdout.trim(), "1", stderr);
});

test("a host that has the language and WebAssembly, and no other global", async () => {
  const script = `
    const { log } = console;
    const language = new Set(("Array ArrayBuffer BigInt BigInt64Array BigUint64Array Boolean DataView Date Error EvalError Float32Array " +
      "Float64Array Function Infinity Int16Array Int32Array Int8Array JSON Map Math NaN Number Object Promise Proxy RangeError " +
      "ReferenceError Reflect RegExp Set SharedArrayBuffer String Symbol SyntaxError TypeError URIError Uint16Array Uint32Array " +
      "Uint8Array Uint8ClampedArray WeakMap WeakSet WebAssembly globalThis undefined").split(" "));
    for (const name of Object.getOwnPropertyNames(globalThis)) if (!language.has(name)) Reflect.deleteProperty(globalThis, name);
    const { Codec } = await import(${CORE});
    const codec = new Codec("linux-x86_64-glibc");
    const { SOL_SOCKET: level, SCM_SECURITY: type } = codec.abi;
    const { keep } = codec.verdict({ control: codec.encode([codec.rights([7, 9])]), flags: 0, maxFds: 2 });
    const { label } = codec.payloadOf({ level, type, data: Uint8Array.of(0xc3, 0xa9, 0) });
    log(typeof atob, typeof Buffer, typeof process, keep.join(), label);`;
  const { stdout, stderr } = await run(process.execPath, program(script));
  assert.is(stdout.trim(), "undefined undefined undefined 7,9 \u00e9", stderr);
});

test("the text of a label is what TextDecoder makes of it, on any bytes", () => {
  const { SOL_SOCKET: level, SCM_SECURITY: type } = codec.abi;
  const labelOf = (bytes: readonly number[]) => {
    const payload = codec.payloadOf({ level, type: type!, data: Uint8Array.from(bytes) });
    return payload.kind === "security" ? payload.label : null;
  };
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const agrees = (bytes: readonly number[]) =>
    assert.is(labelOf([...bytes, 0]), decoder.decode(Uint8Array.from(bytes)), bytes.join());
  // Every beginning of two bytes, and the bounds of what follows.
  for (let first = 0; first < 256; first++)
    for (let second = 0; second < 256; second++) agrees([first, second, 0x80, 0xbf, 0x41]);
  for (const text of ["", "\uFEFFa", "aé€\u{1F600}\u{10FFFF}", "\u07ff\u0800\uD7FF\uE000\uFFFF"])
    agrees([...new TextEncoder().encode(text)]);
  for (const bytes of [[0xe2, 0x82], [0xf0, 0x9f, 0x98], [0xf0, 0x9f, 0x41], [0xc3], [0xff, 0xfe, 0x80]]) agrees(bytes);
});

const failing = (module: string, body: string) =>
  program(`import { ${body.split(/[ .(]/)[body.startsWith("new") ? 1 : 0]} as It } from ${module};
    try { ${body.replace(/\b(Codec|UnixStream)\b/, "It")}; } catch (error) { console.log(error.name, error.code, error.message); }`);

for (const [module, body] of [
  [CORE, 'new Codec("linux-x86_64-glibc")'],
  [LIBRARY, "UnixStream.pair()"],
] as const) {
  test(`no WebAssembly (--jitless): the error of ${body} says what helps`, async () => {
    const { stdout, stderr } = await run(process.execPath, ["--jitless", ...failing(module, body)]);
    assert.match(stdout, /^AncillaryError ERR_WASM_UNAVAILABLE .*--jitless/, stderr);
  });

  // User-mode Linux needs the option in NODE_OPTIONS, for the other tests.
  const limited = (...options: string[]) =>
    run("sh", [
      "-c",
      'unset NODE_OPTIONS; ulimit -v 4194304; exec "$0" "$@"',
      process.execPath,
      ...options,
      ...failing(module, body),
    ]);

  // Measured with Node 20: V8 reserves 8 GiB of addresses for each memory on x64, and not with Debian's Node on arm64. Later versions do
  // not start at all within this limit.
  if (!process.versions.node.startsWith("20.")) continue;
  test.needing(
    works("sh", ["-c", "ulimit -v 4194304"]) && process.arch === "x64",
    "ulimit -v, and a processor that V8 reserves addresses on (x64)",
    `no room for the memory (ulimit -v): the error of ${body} says what helps, and that helps`,
    async () => {
      const { stdout, stderr } = await limited();
      assert.match(stdout, /^AncillaryError ERR_WASM_UNAVAILABLE .*--disable-wasm-trap-handler/, stderr);
      const helped = await limited("--disable-wasm-trap-handler");
      assert.is(helped.stdout, "", helped.stderr);
      assert.is(helped.code, 0, helped.stderr);
    },
  );
}

test.run();
