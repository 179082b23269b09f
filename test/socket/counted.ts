/**
 * A program that counts what events cost while few others wait, and while many do, for costs.test.ts: it prints the counts as JSON. With
 * arguments it counts the events whose names contain one of these.
 *
 * A step is a block of the library that runs: V8 and JavaScriptCore count them, for coverage, the same in each run. What a built-in function
 * does in one step is counted too: elements that it moves or visits, bytes that it copies. The built-ins are replaced before the library is
 * loaded.
 */

import { Session } from "node:inspector/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type * as Library from "unix-ancillary";
import type * as Streams from "unix-ancillary/stream";
import type * as Testing from "unix-ancillary/testing";

/** What was counted since {@link reset}. */
const counts = { elements: 0, copied: 0, allocated: 0 };

type Method = (this: { readonly length: number }, ...given: unknown[]) => unknown;

function replace(owner: object, names: readonly string[], count: (self: { length: number }, given: unknown[]) => void) {
  const methods = owner as Record<string, Method>;
  for (const name of names) {
    const built = methods[name]!;
    methods[name] = function (this: { length: number }, ...given: unknown[]) {
      count(this, given);
      return Reflect.apply(built, this, given);
    };
  }
}

const bytesOf = (value: unknown): number => (ArrayBuffer.isView(value) ? value.byteLength : 0);
replace(
  Array.prototype,
  ["shift", "unshift", "splice", "slice", "concat", "filter", "find", "findIndex", "indexOf", "includes", "map"],
  ({ length }) => (counts.elements += length),
);
const { prototype } = Buffer;
replace(Object.getPrototypeOf(Uint8Array.prototype), ["set"], (_, [bytes]) => (counts.copied += bytesOf(bytes)));
replace(Object.getPrototypeOf(Uint8Array.prototype), ["copyWithin"], ({ length }) => (counts.copied += length));
replace(prototype, ["copy"], ({ length }) => (counts.copied += length));
replace(Buffer, ["from"], (_, [bytes]) => {
  counts.copied += bytesOf(bytes);
  counts.allocated += bytesOf(bytes);
});
replace(Buffer, ["alloc", "allocUnsafe", "allocUnsafeSlow"], (_, [bytes]) => (counts.allocated += bytes as number));

const session = new Session();
session.connect();
await session.post("Profiler.enable");
await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
const library = (await import("unix-ancillary")) as typeof Library;
const { FdDuplex } = (await import("unix-ancillary/stream")) as typeof Streams;
const { VirtualKernel } = (await import("unix-ancillary/testing")) as typeof Testing;
const { FdChannel, UnixDatagram, UnixSeqpacket, UnixStream } = library;
const { crowd } = await import("../support.ts");

/** Blocks of the library that ran since the last call. */
async function blocks(): Promise<number> {
  const { result } = await session.post("Profiler.takePreciseCoverage");
  let sum = 0;
  for (const { url, functions } of result) {
    // Not the virtual kernel, which is no part of what is measured.
    if (!/\/dist\/(?!testing)[^/]+\.js$/.test(url)) continue;
    for (const { ranges } of functions) for (const { count } of ranges) sum += count;
  }
  return sum;
}

interface Cost {
  readonly steps: number;
  readonly copied: number;
  readonly allocated: number;
}

/** What `event` costs. */
async function cost(event: () => unknown): Promise<Cost> {
  await blocks();
  Object.assign(counts, { elements: 0, copied: 0, allocated: 0 });
  await event();
  const { elements, copied, allocated } = counts;
  return { steps: (await blocks()) + elements, copied, allocated };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** What is closed after each event: neither earlier, when it is garbage-collected, nor later, when the next one is counted. */
let kept: { close(): void }[] = [];

/** Calls that end when what is kept is closed. */
let waiting: Promise<unknown>[] = [];
const ignore = (promise: Promise<unknown>): void => void waiting.push(promise.catch(() => {}));

/** Aborts the middle one of `size` calls. */
async function abortOne(size: number, call: (signal: AbortSignal) => Promise<unknown>): Promise<Cost> {
  const controllers = Array.from({ length: size }, () => new AbortController());
  for (const { signal } of controllers) ignore(call(signal));
  await turn();
  return cost(async () => {
    controllers[size >> 1]!.abort();
    await turn();
  });
}

/** Fills the socket buffer. */
function fill(socket: Library.UnixStream): void {
  while (socket.trySendFds(Buffer.alloc(65536)) !== null);
}

/** A reader with as many descriptors, each with a byte of its own. */
async function crowdedReader(size: number): Promise<[Library.UnixStream, Library.FdReader]> {
  const kernel = new VirtualKernel("linux-x86_64-glibc");
  const { platform } = kernel.process({ descriptors: 2 * size + 100 });
  const [a, b] = UnixStream.pair({ platform });
  const reader = b.reader({ maxQueuedFds: size + 1 });
  for (let i = 0; i < size; i++) {
    a.sendFdsSync("x", [a]);
    await reader.read(1);
  }
  return [a, reader];
}

let names = 0;
const freshName = (): string => `\0costs-${process.pid}-${names++}`;

/** So many receivers whose queue is full, each with a send that waits. */
function crowdedReceivers(size: number): Library.UnixDatagram {
  const sender = UnixDatagram.unbound();
  kept.push(sender);
  for (let i = 0; i < size; i++) {
    const path = freshName();
    kept.push(UnixDatagram.bind(path));
    crowd(sender, path);
    ignore(sender.sendFdsTo("y", [], path));
  }
  return sender;
}

interface Event {
  /** How many others wait. */
  readonly few: number;
  readonly many: number;
  readonly run: (size: number) => Promise<Cost>;
}

const EVENTS: Readonly<Record<string, Event>> = {
  "an abort of one of many receives": {
    few: 10,
    many: 20_000,
    run(size) {
      const [a, b] = UnixStream.pair();
      kept.push(a, b);
      return abortOne(size, (signal) => b.recvFds(0, { signal }));
    },
  },
  "an abort of one of many sends": {
    few: 10,
    many: 20_000,
    run(size) {
      const [a, b] = UnixStream.pair();
      kept.push(a, b);
      fill(a);
      return abortOne(size, (signal) => a.sendFds("x", [], { signal }));
    },
  },
  "an abort of one of many sends to a receiver": {
    few: 10,
    many: 20_000,
    run(size) {
      const sender = UnixDatagram.unbound();
      const path = freshName();
      kept.push(sender, UnixDatagram.bind(path));
      crowd(sender, path);
      return abortOne(size, (signal) => sender.sendFdsTo("x", [], path, { signal }));
    },
  },
  "an abort of one of many reads": {
    few: 10,
    many: 20_000,
    run(size) {
      const [a, b] = UnixStream.pair();
      kept.push(a, b);
      const reader = b.reader();
      return abortOne(size, (signal) => reader.read(1, { signal }));
    },
  },
  "an abort of one of many frames": {
    few: 10,
    many: 20_000,
    run(size) {
      const [a, b] = UnixStream.pair();
      kept.push(a, b);
      fill(a);
      const channel = FdChannel.over(a);
      return abortOne(size, (signal) => channel.send("x", [], { signal }));
    },
  },
  "an abort of a call whose signal many others have": {
    few: 10,
    many: 20_000,
    async run(size) {
      const { signal } = new AbortController();
      const [a, b] = UnixStream.pair();
      kept.push(a, b);
      const first = b.recvFds(0, { signal });
      for (let i = 1; i < size; i++) ignore(b.recvFds(0, { signal }));
      return cost(async () => {
        a.sendFdsSync("x");
        await first;
        for (let i = 0; i < 5; i++) await turn();
      });
    },
  },
  "a message for the first of many receives": {
    few: 10,
    many: 20_000,
    async run(size) {
      const [a, b] = UnixStream.pair();
      kept.push(a, b);
      const first = b.recvFds(0);
      for (let i = 1; i < size; i++) ignore(b.recvFds(0));
      return cost(async () => {
        a.sendFdsSync("x");
        await first;
        for (let i = 0; i < 5; i++) await turn();
      });
    },
  },
  "a descriptor that is taken while many wait": {
    few: 40,
    many: 4000,
    async run(size) {
      const [, reader] = await crowdedReader(size);
      // The queue may move its entries now and then: what counts is the cost of each.
      return cost(() => {
        for (let i = 0; i < size / 2; i++) reader.takeFds(1)[0]!.close();
      }).then((all) => ({ ...all, steps: Math.round(all.steps / (size / 2)) }));
    },
  },
  "a receive of a stream in which many descriptors wait": {
    few: 10,
    many: 400,
    async run(size) {
      const kernel = new VirtualKernel("linux-x86_64-glibc");
      const { platform } = kernel.process({ descriptors: 2 * size + 100 });
      const [a, b] = UnixStream.pair({ platform });
      const duplex = new FdDuplex(b);
      duplex.on("data", () => {});
      for (let i = 0; i < size; i++) {
        a.sendFdsSync("x", [a]);
        while (duplex.queuedFds === i) await turn();
      }
      return cost(async () => {
        a.sendFdsSync("y");
        for (let i = 0; i < 20; i++) await turn();
      });
    },
  },
  "an acknowledgement while many descriptors wait for theirs": {
    few: 20,
    many: 1000,
    async run(size) {
      const kernel = new VirtualKernel("linux-x86_64-glibc");
      const { platform } = kernel.process({ descriptors: 3 * size + 100 });
      const [a, b] = UnixStream.pair({ platform });
      const ours = FdChannel.over(a, { acknowledges: (frame) => frame.messageId });
      const theirs = FdChannel.over(b);
      for (let i = 0; i < size; i++) {
        await ours.send("x", [b]);
        (await theirs.recv())![Symbol.dispose]();
      }
      return cost(async () => {
        for (let i = 0; i < 10; i++) {
          await theirs.send("");
          await ours.recv();
        }
      });
    },
  },
  "a turn of the event loop for which many sockets wait": {
    few: 100,
    many: 5000,
    async run(size) {
      const { platform } = UnixStream.pair()[0];
      // Each uses up what an eighth of a turn may hand over.
      let resumed = 0;
      return cost(async () => {
        for (let i = 0; i < size; i++) {
          platform.rest(() => {
            resumed++;
            platform.spent += 256;
          });
        }
        while (resumed < size) await turn();
      }).then((all) => ({ ...all, steps: Math.round(all.steps / size) }));
    },
  },
  "a turn for a socket whose sends wait for many receivers": {
    few: 2,
    many: 15,
    async run(size) {
      const { system } = UnixStream.pair()[0].platform;
      const { sendmsg, timer } = system;
      // The timers that try those sends again, which wait for longer and longer, never fire.
      system.timer = (milliseconds, fired) =>
        milliseconds === 0 ? timer.call(system, 0, fired) : { keepAlive() {}, close() {} };
      const sender = crowdedReceivers(size);
      let attempts = 0;
      system.sendmsg = (...given) => {
        if (given[0] === sender.fd && Buffer.from(given[1] as Uint8Array).toString() === "y") attempts++;
        return sendmsg.apply(system, given);
      };
      const path = freshName();
      const receiver = UnixDatagram.bind(path);
      for (let i = 0; i < 1000; i++) {
        await sender.sendFdsTo("z", [], path);
        receiver.recvFdsSync(0);
      }
      for (const name of ["sendmsg", "timer"] as const) delete (system as Partial<typeof system>)[name];
      return { steps: attempts, copied: 0, allocated: 0 };
    },
  },
  "unref of a socket whose sends wait for many receivers": {
    few: 2,
    many: 100,
    async run(size) {
      const sender = crowdedReceivers(size);
      await turn();
      return cost(() => sender.unref());
    },
  },
  "a descriptor that is closed while many are open": {
    few: 50,
    many: 3000,
    async run(size) {
      const kernel = new VirtualKernel("linux-x86_64-glibc");
      const { platform } = kernel.process({ descriptors: size + 200 });
      const [a, b] = UnixStream.pair({ platform });
      const owners: Library.OwnedFd[] = [];
      for (let i = 0; i < size; i++) {
        a.sendFdsSync("x", [a]);
        owners.push(...b.recvFdsSync(1).fds);
      }
      kept.push(...owners);
      return cost(() => {
        for (let i = 0; i < 50; i++) owners[i]!.close();
      });
    },
  },
};

type Kind = "stream" | "seqpacket";

const pairOf = (kind: Kind) => (kind === "stream" ? UnixStream.pair() : UnixSeqpacket.pair());

/** Sends bytes in order, so many at once, and waits for the reader to have each piece. */
async function feed(
  to: Library.UnixStream | Library.UnixSeqpacket,
  reader: Library.FdReader,
  bytes: number,
  piece: number,
): Promise<void> {
  for (let sent = 0; sent < bytes; sent += piece) {
    const before = reader.queuedBytes;
    to.sendFdsSync(Buffer.alloc(piece));
    while (reader.queuedBytes < before + piece) await turn();
  }
}

/** What bytes cost: copies of theirs, and memory. */
const BYTES: Readonly<Record<string, (kind: Kind) => Promise<Cost>>> = {
  /** An eighth has come, and another eighth comes byte after byte, as far as a test can wait. */
  async "bytes that trickle into a large read"(kind) {
    const [a, b] = pairOf(kind);
    kept.push(a, b);
    const reader = b.reader();
    ignore(reader.read(16 << 20));
    await feed(a, reader, 2 << 20, 32768);
    return cost(() => feed(a, reader, 1000, 1));
  },
  async "bytes that trickle into the end of a large read"(kind) {
    const [a, b] = pairOf(kind);
    const reader = b.reader();
    const read = reader.read(2 << 20);
    await feed(a, reader, (2 << 20) - 32768, 32768);
    await feed(a, reader, 30_000, 30_000);
    return cost(async () => {
      await feed(a, reader, 2700, 1);
      a.sendFdsSync(Buffer.alloc(68));
      await read;
    });
  },
  async "bytes that trickle into a search"(kind) {
    const [a, b] = pairOf(kind);
    kept.push(a, b);
    const reader = b.reader();
    ignore(reader.readUntil("\n", 16 << 20));
    await feed(a, reader, 2 << 20, 32768);
    return cost(() => feed(a, reader, 1000, 1));
  },
  /** Both ends. */
  async "a frame of 4 MiB"(kind) {
    const [a, b] = pairOf(kind);
    const [ours, theirs] = [FdChannel.over(a), FdChannel.over(b)];
    const payload = Buffer.alloc(4 << 20);
    return cost(async () => {
      const sent = ours.send(payload);
      const frame = (await theirs.recv())!;
      await sent;
      if (!frame.payload.equals(payload)) throw new Error("another payload came");
    });
  },
  async "an announcement of 16 MiB"(kind) {
    const [a, b] = pairOf(kind);
    kept.push(a);
    const channel = FdChannel.over(b);
    kept.push(channel);
    const header = Buffer.alloc(20);
    header.write("UANC");
    header.writeUInt8(1, 4);
    header.writeUInt32BE(16 << 20, 8);
    // More than a reader has room for before anything is announced.
    const begun = [header, Buffer.alloc(40_000), Buffer.alloc(40_000)];
    return cost(async () => {
      ignore(channel.recv());
      for (const bytes of begun) a.sendFdsSync(bytes);
      // A thread takes its time to say that it is there.
      await sleep(50);
    });
  },
};

const given = process.argv.slice(2);
const wanted = (name: string): boolean => given.length === 0 || given.some((part) => name.includes(part));
const counted: Record<string, Cost> = {};

async function count(name: string, event: () => Promise<Cost>): Promise<void> {
  counted[name] = await event();
  for (const one of kept) one.close();
  await Promise.all(waiting);
  [kept, waiting] = [[], []];
}

for (const [name, { few, many, run }] of Object.entries(EVENTS).filter(([name]) => wanted(name))) {
  await count(`${name}: few`, () => run(few));
  await count(`${name}: many`, () => run(many));
}
for (const [name, run] of Object.entries(BYTES).filter(([name]) => wanted(name)))
  for (const kind of ["stream", "seqpacket"] as const) await count(`${name}: ${kind}`, () => run(kind));
console.log(JSON.stringify(counted));
process.exit(0);
