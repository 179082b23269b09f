/** The public API, called with arbitrary values mixed with valid ones. */

import { readdirSync } from "node:fs";
import { Socket } from "node:net";
import { inspect } from "node:util";
import {
  AncillaryError,
  ChannelError,
  FdChannel,
  listenFds,
  notify,
  notifyBarrier,
  OwnedFd,
  recvmsg,
  SocketAncillary,
  sendmsg,
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
} from "unix-ancillary";
import * as assert from "uvu/assert";
import { fc } from "./properties.ts";
import { leakChecked, temporaryFolder } from "./support.ts";

const test = leakChecked("misuse");

// Files with random names are created here.
process.chdir(temporaryFolder());

/** The address of a listener. */
const names = {
  stream: `\0misuse-${process.pid}-stream`,
  seqpacket: `\0misuse-${process.pid}-seqpacket`,
  datagram: `\0misuse-${process.pid}-datagram`,
};

/** The objects of each run: created for it, and closed after it. */
class World {
  readonly open: { close(): void }[] = [];
  readonly stream = this.#pair(UnixStream.pair());
  readonly seqpacket = this.#pair(UnixSeqpacket.pair());
  readonly datagram = this.#pair(UnixDatagram.pair());
  readonly bound = this.keep(UnixDatagram.bind(names.datagram));
  readonly listener = this.keep(UnixListener.bind(names.stream));
  readonly records = this.keep(UnixListener.bind(names.seqpacket, { type: "seqpacket" }));
  readonly client = this.keep(UnixStream.connectSync(names.stream));
  readonly owned = this.keep(OwnedFd.from(0));
  readonly reader = this.keep(this.#pair(UnixStream.pair()).reader());
  readonly channel: FdChannel;
  readonly ancillary = new SocketAncillary(512);

  constructor() {
    const [a, b] = FdChannel.pair();
    this.channel = this.keep(b);
    this.keep(a).send("waiting");
    this.keep(UnixDatagram.unbound()).sendFdsToSync("waiting", [0], names.datagram);
  }

  keep<T extends { close(): void }>(one: T): T {
    this.open.push(one);
    return one;
  }

  /** One end of a pair, with something to receive, so that no synchronous call waits for ever. */
  #pair<T extends UnixStream | UnixSeqpacket | UnixDatagram>([ours, theirs]: [T, T]): T {
    this.keep(theirs).sendFdsSync("waiting", [0, 0]);
    return this.keep(ours);
  }

  close(): void {
    this.ancillary.clear();
    for (const one of this.open) one.close();
  }
}

type Arguments = fc.Arbitrary<unknown>;
const { anything, constant, constantFrom, oneof, array } = fc;

/** A value that fast-check cannot print. */
const named = <T extends object>(name: string, value: T): T =>
  Object.defineProperty(value, fc.toStringMethod, { value: () => name });
const detached = named("detached", new Uint8Array(4));
structuredClone(detached.buffer, { transfer: [detached.buffer] });
const closed = OwnedFd.from(0);
closed.close();
const strange = (): unknown[] => [
  detached,
  closed,
  named("proxy", new Proxy(new Uint8Array(3), { get: (target, name) => target[name as never] })),
  named("no bytes", Object.create(Uint8Array.prototype)),
  Object.create(null),
  Object.assign(Object.create(null), { fd: null }),
  { fd: 2 ** 32 },
  { fd: Number.NaN },
  { length: 3 },
  new Array(3),
  new Array(300).fill(0),
  new Socket(),
  Symbol("x"),
  () => 3,
  10n,
  -0,
  Number.NaN,
  Infinity,
  -1,
  1e300,
  2 ** 31,
  2 ** 53,
  "x".repeat(200),
  "a\0b",
  "\0",
  new Map(),
  new Date(Number.NaN),
  Promise.resolve(),
  AbortSignal.abort(),
];
const junk: Arguments = oneof(
  { weight: 1, arbitrary: anything() },
  { weight: 3, arbitrary: constantFrom(...strange()) },
);
/** Mostly valid values, so that a call gets far. */
const or = (...right: Arguments[]): Arguments =>
  oneof({ weight: 3, arbitrary: oneof(...right) }, { weight: 1, arbitrary: junk });

const data = or(
  constant("text"),
  constant(""),
  constant(Uint8Array.of(1, 2)),
  array(fc.uint8Array({ maxLength: 3 })),
  array(junk, { maxLength: 3 }),
);
const fds = or(array(or(constantFrom<unknown>(0, 1, { fd: 2 }, closed)), { maxLength: 4 }), constant(undefined));
const maxFds = or(constantFrom(0, 1, 2, 253));
const into = or(
  fc.nat(8).map((length) => new Uint8Array(length)),
  array(
    fc.nat(3).map((length) => new Uint8Array(length)),
    { maxLength: 3 },
  ),
);
const path = or(constantFrom(...Object.values(names), "", "name", "\0abstract", "./name", "no/such/folder"));
const flag = or(constantFrom(true, false));
const options = or(
  constant(undefined),
  fc.record(
    {
      signal: or(constant(undefined), constant(new AbortController().signal)),
      timeout: or(constantFrom(0, 1, 0.5)),
      bufferSize: or(constantFrom(1, 100, 65536)),
      allowTruncated: flag,
      wait: flag,
      flags: or(constantFrom(0, 2, 0x20, 0x40)),
      mode: or(constantFrom(0o600, 0)),
      backlog: or(constantFrom(0, 1)),
      type: or(constantFrom("stream", "seqpacket")),
      unset: flag,
      maxFds,
      maxQueuedBytes: or(constantFrom(1, 4096)),
      highWaterMark: junk,
      platform: junk,
      maxPayload: or(constantFrom(0, 100)),
      peer: junk,
      address: path,
    },
    { requiredKeys: [], noNullPrototype: false },
    // One or two options at a time: most are valid for few methods.
  ),
).map((record) => {
  if (typeof record !== "object" || record === null || Array.isArray(record)) return record;
  return Object.fromEntries(Object.entries(record).slice(-1));
});
const level = or(constantFrom(1, 0, 41));
const message = or(
  fc.record({ level, type: level, data: into }),
  constant({ level: 1, type: 1, data: Uint8Array.of(0) }),
);
const credentials = or(
  fc.record({ pid: or(constant(null), constant(process.pid)), uid: or(constant(0)), gid: or(constant(0)) }),
);

const optionLevel = or(constantFrom("SOL_SOCKET", 1, "SOL_LOCAL"));
const optionName = or(constantFrom("SO_SNDBUF", "SO_TYPE", "SO_PASSCRED", "SO_PEERPIDFD", 8, 77, 26));

type Call = (world: World, ...args: never[]) => unknown;
const calls: [string, Call, Arguments[]][] = [];
const call = (name: string, body: Call, ...args: Arguments[]): void => void calls.push([name, body, args]);
/** A method, and the object to call it on. */
const method = (of: keyof World, name: string, ...args: Arguments[]): void =>
  call(
    `${of}.${name}`,
    (world, ...given) => (world[of] as never as Record<string, Call>)[name]!(...(given as [never])),
    ...args,
  );

for (const of of ["stream", "seqpacket", "datagram"] as const) {
  for (const suffix of ["", "Sync"]) {
    method(of, `sendFds${suffix}`, data, fds, options);
    method(of, `recvFds${suffix}`, maxFds, options);
    method(of, `recvFdsInto${suffix}`, into, maxFds, options);
    method(of, `recvFdsExact${suffix}`, maxFds, options);
    if (of !== "datagram") method(of, `sendFdsAll${suffix}`, data, fds, options);
  }
  method(of, "trySendFds", data, fds);
  method(of, "tryRecvFds", maxFds, options);
  method(of, "setPassCredentials", flag);
  method(of, "setPassPidfd", flag);
  method(of, "setPassSecurity", flag);
  method(of, "setPassRights", flag);
  method(of, "getOption", optionLevel, optionName, or(constantFrom(undefined, 4, 100)));
  method(of, "setOption", optionLevel, optionName, or(constantFrom(0, 1, 5000)));
  method(of, "shutdown", or(constantFrom("read", "write", "both", undefined)));
  call(`${of}.messages`, (world, max, given) => world[of].messages(max, given).next(), maxFds, options);
}
call("stream.reader", (world, given) => world.stream.reader(given).read(1), options);
call("stream.toSocket", (world, given) => world.stream.toSocket(given), options);
method("reader", "read", maxFds, options);
method("reader", "readUntil", data, maxFds, options);
method("reader", "ended", options);
method("reader", "takeFds", maxFds);
for (const suffix of ["", "Sync"]) {
  method("datagram", `sendFdsTo${suffix}`, data, fds, path, options);
  method("bound", `recvFdsFrom${suffix}`, maxFds, options);
  method("listener", `accept${suffix}`, options);
}
method("datagram", "trySendFdsTo", data, fds, path);
method("datagram", "connect", path);
method("channel", "send", data, fds, options);
method("channel", "recv", options);
method("ancillary", "addFds", fds);
method("ancillary", "addCredentials", credentials);
method("ancillary", "addMessage", message);
for (const [name, kind] of [
  ["UnixStream", UnixStream],
  ["UnixSeqpacket", UnixSeqpacket],
] as const) {
  call(`${name}.pair`, (_, given) => kind.pair(given), options);
  call(`${name}.connect`, (_, at, given) => kind.connect(at, given), path, options);
  call(`${name}.connectSync`, (_, at, given) => kind.connectSync(at, given), path, options);
  call(`${name}.from`, (_, source) => kind.from(source), junk);
}
call("UnixDatagram.bind", (_, at, given) => UnixDatagram.bind(at, given), path, options);
call("UnixDatagram.from", (_, source) => UnixDatagram.from(source), junk);
call("UnixListener.bind", (_, at, given) => UnixListener.bind(at, given), path, options);
call("UnixListener.from", (_, source) => UnixListener.from(source), junk);
call("OwnedFd.from", (_, source) => OwnedFd.from(source), or(constantFrom(0, closed)));
call(
  "OwnedFd.fromRaw",
  (_, fd) => OwnedFd.fromRaw(fd),
  // Open numbers may have other owners.
  junk.filter((one) => !(typeof one === "number" && one >= 0 && one < 1000)),
);
call("FdChannel.pair", (_, given) => FdChannel.pair(given), options);
call("FdChannel.over", (_, source, given) => FdChannel.over(source, given), junk, options);
call("new SocketAncillary", (_, capacity) => new SocketAncillary(capacity), or(constant(100)));
call("bufferSizeForRights", (_, count) => SocketAncillary.bufferSizeForRights(count), maxFds);
call(
  "sendmsg",
  (world, iov, count, given, socket) => {
    world.ancillary.addFds(count);
    return sendmsg(socket ?? world.stream, iov, world.ancillary, given);
  },
  data,
  fds,
  options,
  or(constant(undefined)),
);
call(
  "recvmsg",
  (world, iov, given, ancillary) => recvmsg(world.seqpacket, iov, ancillary ?? world.ancillary, given),
  into,
  options,
  or(constant(null)),
);
call("listenFds", (_, given) => listenFds(given), options);
call(
  "notify",
  (_, state, given) => notify(state, given),
  or(constant("READY=1"), fc.dictionary(fc.string(), junk)),
  fds,
);
call("notifyBarrier", (_, given) => notifyBarrier(given), options);

/** Whether an error is documented: a wrong argument, an error of the kernel, or an error code of the library. */
function explained(error: unknown): boolean {
  if (error === AbortSignal.abort().reason || (error as Error)?.name === "AbortError") return true;
  const { code, errno, syscall } = error as { code?: unknown; errno?: unknown; syscall?: unknown };
  if (typeof code !== "string") return false;
  if (error instanceof AncillaryError || error instanceof ChannelError) return true;
  if (error instanceof TypeError || error instanceof RangeError) return code.startsWith("ERR_");
  return error instanceof Error && typeof errno === "number" && errno < 0 && typeof syscall === "string";
}

/** Closes everything that a call returned. */
function closeAll(value: unknown): void {
  if (typeof value !== "object" || value === null) return;
  if (value instanceof Socket) value.destroy();
  else if ("close" in value && typeof value.close === "function") value.close();
  else if (Array.isArray(value)) value.forEach(closeAll);
  else if (Symbol.dispose in value) (value as Disposable)[Symbol.dispose]();
  else if ("value" in value) closeAll(value.value);
}

const count = (): number => readdirSync("/proc/self/fd").length;

test("anything: a result, or an error with a reason; nothing leaks, nothing hangs", async () => {
  const reached = new Map<string, number>();
  const property = fc.asyncProperty(
    fc
      .nat(calls.length - 1)
      .chain((at) => fc.tuple(constant(at), fc.tuple(...calls[at]![2]) as fc.Arbitrary<unknown[]>)),
    async ([at, args]) => {
      const [name, body] = calls[at]!;
      const before = count();
      const world = new World();
      const failures: unknown[] = [];
      const settled = (async () => {
        try {
          const value = await body(world, ...(args as never[]));
          reached.set(name, (reached.get(name) ?? 0) + 1);
          closeAll(value);
        } catch (error) {
          if (!explained(error)) failures.push(error);
        }
      })();
      await new Promise((resolve) => setImmediate(resolve));
      world.close();
      await settled;
      for (let turn = 0; turn < 100 && count() !== before; turn++)
        await new Promise((resolve) => setImmediate(resolve));
      assert.is(count(), before, `${name}: descriptors`);
      if (failures.length > 0) throw new Error(`${name}: not explained: ${inspect(failures[0])}`);
    },
  );
  await fc.assert(property, { numRuns: 3000, includeErrorInReport: true });
  assert.ok(reached.size > calls.length / 2, `only ${[...reached.keys()]} ever succeeded`);
});

test.run();
