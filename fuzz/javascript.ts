/**
 * Fuzzes the parsers of the JavaScript layer for a time: bytes of a peer to FdReader and FdChannel on the virtual kernel, with
 * descriptors anywhere and cuts anywhere, and bytes and texts to the decoders of the command. fast-check makes the inputs, and makes a
 * counterexample small. It is saved to `fuzz/counterexamples/`, and is tried first from then on.
 *
 *     npm run fuzz:javascript -- --seconds 60 [--only PART] [--seed N]
 */

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import fc from "fast-check";
import { FdChannel, UnixStream } from "unix-ancillary";
import { type AbiName, abis, Codec, inspect } from "unix-ancillary/core";
import { VirtualKernel, type VirtualProcess } from "unix-ancillary/testing";
import { inputsOf } from "../src/cli/input.ts";
import { partsOf } from "../src/cli/parts.ts";

const FOLDER = join("fuzz", "counterexamples");
const ABIS = ["linux-x86_64-glibc", "darwin-arm64", "freebsd-amd64", "openbsd-amd64"] as const satisfies AbiName[];

/** What a peer sends at once: bytes, and how many descriptors beside them. */
const sends = fc.array(
  fc.record({ bytes: fc.uint8Array({ minLength: 1, maxLength: 48 }), fds: fc.nat(5) }, { noNullPrototype: true }),
  { maxLength: 8 },
);
/** Frames of a channel, whole, then damaged: bytes changed, cut, or added. */
const frames = fc
  .tuple(
    fc.array(fc.record({ payload: fc.uint8Array({ maxLength: 24 }), fds: fc.nat(4) }, { noNullPrototype: true }), {
      maxLength: 4,
    }),
    fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 3 }),
    fc.array(fc.nat(60), { maxLength: 6 }),
  )
  .map(([list, damage, cuts]) => {
    const bytes = Buffer.concat(
      list.map(({ payload, fds }, i) => {
        const header = Buffer.alloc(20);
        header.write("UANC");
        header[4] = 1;
        header.writeUInt16BE(fds, 6);
        header.writeUInt32BE(payload.length, 8);
        header.writeBigUInt64BE(BigInt(i + 1), 12);
        return Buffer.concat([header, payload]);
      }),
    );
    for (const [at, value] of damage) if (at < bytes.length) bytes[at] = value;
    const parts: { bytes: Uint8Array; fds: number }[] = [];
    let at = 0;
    for (const [i, cut] of [...cuts, bytes.length].entries()) {
      const part = bytes.subarray(at, at + cut);
      if (part.length > 0) parts.push({ bytes: Uint8Array.from(part), fds: list[i]?.fds ?? 0 });
      at += cut;
    }
    return parts;
  });

type Sends = readonly { readonly bytes: Uint8Array; readonly fds: number }[];

/** Sends as a peer that knows no rules, then runs the reader, which may fail, but not in other ways than the documents say. */
async function withPeer(
  abi: AbiName,
  seed: number,
  list: Sends,
  read: (socket: UnixStream, process: VirtualProcess) => Promise<void>,
) {
  const kernel = new VirtualKernel(abi, { seed });
  const us = kernel.process();
  const peer = kernel.process();
  const [ours, theirs] = UnixStream.pair({ platform: us.platform });
  const file = us.open("a file");
  try {
    for (const { bytes, fds } of list)
      await theirs.sendFdsAll(
        bytes,
        Array.from({ length: fds }, () => file),
      );
    theirs.close();
    await read(ours, us);
  } catch (error) {
    // An error of the library names itself.
    if (typeof (error as { code?: unknown }).code !== "string") throw error;
  } finally {
    for (const one of [file, ours, theirs]) one.close();
    peer.kill();
  }
  await kernel.idle();
  // Nothing is open, nothing was closed twice.
  kernel.check();
}

/** The targets: arbitrary inputs, which are saved as JSON, and what must hold for each. */
const TARGETS: Record<string, fc.IAsyncPropertyWithHooks<[unknown]>> = {};
function target<T>(name: string, inputs: fc.Arbitrary<T>, holds: (input: T) => Promise<void> | void): void {
  TARGETS[name] = fc.asyncProperty(inputs, async (input) => {
    await holds(input);
    // V8 frees the kernel's memories, of 8 GiB of addresses each, only where the event loop turns: after some thousand inputs none was left.
    await new Promise(setImmediate);
  }) as fc.IAsyncPropertyWithHooks<[unknown]>;
  RUNS.set(name, (input) => holds(input as T));
}
const RUNS = new Map<string, (input: unknown) => Promise<void> | void>();
const anyAbi = fc.constantFrom(...ABIS);

target(
  "reader",
  fc.record({
    abi: anyAbi,
    seed: fc.nat(1000),
    list: sends,
    asks: fc.array(fc.tuple(fc.nat(3), fc.nat(40)), { maxLength: 10 }),
  }),
  ({ abi, seed, list, asks }) =>
    withPeer(abi, seed, list, async (socket) => {
      const sent = Buffer.concat(list.map(({ bytes }) => bytes));
      const reader = socket.reader();
      const got: Buffer[] = [];
      const check = (): void => {
        const all = Buffer.concat(got);
        if (!sent.subarray(0, all.length).equals(all)) throw new TypeError("other bytes than were sent");
      };
      try {
        for (const [kind, size] of asks) {
          if (kind === 0) got.push(await reader.read(size));
          else if (kind === 1) got.push(await reader.readUntil(Uint8Array.of(size), 1 + size));
          else if (kind === 2) for (const fd of reader.takeFds(Math.min(size, reader.queuedFds))) fd.close();
          else if (await reader.ended()) break;
          check();
        }
      } finally {
        reader.close();
      }
    }),
);

target(
  "channel",
  fc.record({ abi: anyAbi, seed: fc.nat(1000), list: fc.oneof(frames, sends) }),
  ({ abi, seed, list }) =>
    withPeer(abi, seed, list, async (socket, process) => {
      const channel = FdChannel.over(socket);
      const { size } = process.descriptors;
      try {
        for await (const { fds } of channel) for (const fd of fds) fd.close();
      } catch (error) {
        if (process.descriptors.size > size) throw new TypeError(`descriptors stay open after: ${error}`);
        throw error;
      } finally {
        channel.close();
      }
    }),
);

/** An exception of the command has a message for the user. */
function said(run: () => void): void {
  try {
    run();
  } catch (error) {
    if (typeof (error as { message?: unknown }).message !== "string" || error instanceof TypeError) throw error;
  }
}

const strace = fc.tuple(fc.uint8Array({ maxLength: 60 }), fc.nat(3)).map(([bytes, form]) => {
  const hex = Buffer.from(bytes).toString("hex");
  if (form === 0) return hex;
  if (form === 1) return `00000000: ${hex.replace(/(.{4})/g, "$1 ")} text`;
  const escaped = hex.replace(/../g, "\\x$&");
  return form === 2
    ? `"${escaped}"`
    : `recvmsg(3, {msg_control="${escaped}", msg_controllen=${bytes.length}, msg_flags=0}, 0) = 1`;
});
const text = fc.oneof(
  fc.string({ maxLength: 200 }),
  strace,
  fc
    .tuple(strace, fc.nat(200), fc.string({ maxLength: 6 }))
    .map(([line, at, more]) => line.slice(0, at) + more + line.slice(at)),
);
target("input", fc.record({ abi: anyAbi, text, hex: fc.boolean() }), ({ abi, text: given, hex }) =>
  said(() => {
    const codec = new Codec(abi);
    for (const { control } of inputsOf(abis[abi], Buffer.from(given), hex, () => {})) {
      const decoded = codec.decode(control);
      for (const message of decoded.messages) codec.payloadOf(message);
      inspect(abi, control);
      const parts = partsOf(abis[abi], control, decoded);
      // Each byte is in one part.
      const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
      if (bytes !== control.length) throw new TypeError(`${bytes} bytes in parts, of ${control.length}`);
    }
  }),
);

/** Bytes are saved as hex. */
const toText = (input: unknown): string =>
  JSON.stringify(
    input,
    (_, value) => (value instanceof Uint8Array ? { hex: Buffer.from(value).toString("hex") } : value),
    1,
  );
const fromText = (json: string): unknown =>
  JSON.parse(json, (_, value) =>
    typeof value?.hex === "string" ? Uint8Array.from(Buffer.from(value.hex, "hex")) : value,
  );

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "30" },
    only: { type: "string", default: "" },
    seed: { type: "string" },
  },
});
const names = Object.keys(TARGETS).filter((name) => name.includes(values.only));
const seconds = Number(values.seconds);
if (names.length === 0 || !(seconds > 0)) {
  console.error(
    names.length === 0 ? `no target matches ${values.only}` : `--seconds expected a number, got ${values.seconds}`,
  );
  process.exit(2);
}
let failed = 0;
for (const name of names) {
  const saved = join(FOLDER, name);
  for (const file of existsSync(saved) ? readdirSync(saved).sort() : []) {
    try {
      await RUNS.get(name)!(fromText(readFileSync(join(saved, file), "utf8")));
    } catch (error) {
      failed++;
      console.log(`FAIL  ${name}: ${join(saved, file)}: ${error}`);
    }
  }
  const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
  const result = await fc.check(TARGETS[name]!, {
    seed,
    numRuns: Number.POSITIVE_INFINITY,
    interruptAfterTimeLimit: (1000 * seconds) / names.length,
    markInterruptAsFailure: false,
  });
  if (!result.failed) {
    console.log(`ok    ${name}: ${result.numRuns} inputs, seed ${seed}`);
    continue;
  }
  failed++;
  mkdirSync(saved, { recursive: true });
  const path = join(saved, `${seed}.json`);
  writeFileSync(path, `${toText(result.counterexample?.[0])}\n`);
  console.log(`FAIL  ${name}: after ${result.numRuns} inputs, seed ${seed}: ${path}\n${result.errorInstance}`);
}
console.log(`${names.length - Math.min(failed, names.length)} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
