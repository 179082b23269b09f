/** The virtual kernel: the faults that it finds, and that it behaves like the real one. */

import { constants, release } from "node:os";
import { fileURLToPath } from "node:url";
import {
  memfd,
  OwnedFd,
  type PlatformOptions,
  recvmsg,
  SocketAncillary,
  sendmsg,
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
} from "unix-ancillary";
import { type Abi, type AbiName, abis, Codec } from "unix-ancillary/core";
import { type Call, VirtualKernel } from "unix-ancillary/testing";
import * as assert from "uvu/assert";
import { fstatSync, openSync } from "../descriptors.ts";
import { codeOf, errorOf, fileWith, leakChecked, NEEDS, role, run, socketPath } from "../support.ts";
import { runConnections, runDatagrams, runProgram, runUntilRefused, type World } from "./kernel-programs.ts";

const test = leakChecked("kernel");

const SYSTEMS: readonly AbiName[] = [
  "linux-x86_64-glibc",
  "linux-s390x-glibc",
  "linux-i386-musl",
  "darwin-arm64",
  "freebsd-amd64",
  "openbsd-amd64",
  "netbsd-aarch64",
  "dragonfly-x86_64",
  "illumos-sparcv9",
];

test("every-system: descriptors arrive with every layout, byte order and set of rules", async () => {
  for (const abi of SYSTEMS) {
    const kernel = new VirtualKernel(abi);
    const [parent, child] = [kernel.process(), kernel.process()];
    const listener = UnixListener.bind("/socket", { platform: parent.platform });
    const accepted = listener.accept();
    const client = await UnixStream.connect("/socket", { platform: child.platform });
    const server = await accepted;
    const file = child.open("the file");
    const receiving = server.recvFds(2);
    await client.sendFds("hello", [file, file, file]);
    const message = await receiving;
    assert.is(message.data.toString(), "hello", abi);
    assert.equal(
      message.fds.map((fd) => parent.nameOf(fd.fd)),
      ["the file", "the file"],
      abi,
    );
    assert.is(message.surplus, 1, abi);
    message[Symbol.dispose]();
    client.close();
    assert.is((await server.recvFds(1)).eof, true, abi);
    server.close();
    listener.close();
    file.close();
    kernel.check();
  }
});

test("described-by-the-same-calls: files, sockets and pidfds, on every system, and a call that fails", () => {
  for (const abi of SYSTEMS) {
    const kernel = new VirtualKernel(abi);
    const { platform } = kernel.process();
    const listener = UnixListener.bind("/socket", { platform });
    const [a, b] = UnixStream.pair({ platform });
    a.sendFdsSync("x", [listener, b]);
    const { fds } = b.recvFdsSync(2);
    const [listening, connected] = fds.map((fd) => fd.describe());
    assert.equal(
      listening,
      {
        kind: "socket",
        access: "read-write",
        nonblocking: true,
        socket: { family: "unix", type: "stream", listening: true, address: "/socket" },
      },
      abi,
    );
    assert.equal(connected?.socket, { family: "unix", type: "stream", listening: false, address: null }, abi);
    if (abi.startsWith("linux")) fds.push(a.peerPidfd());
    if (abi.startsWith("linux")) assert.is(fds[2]?.describe().kind, "pidfd");
    for (const fd of [...fds, a, b, listener]) fd.close();
    kernel.check();
  }
});

test("describe-fails: the error of the call that failed, of a file that is open", async () => {
  const kernel = new VirtualKernel("linux-x86_64-glibc");
  const file = kernel.process().open("the file");
  assert.equal(file.describe(), { kind: "file", access: "read-write", nonblocking: false, size: 0 });
  kernel.fault = ({ name }) => (name === "fstat" ? { errno: "ENOMEM" } : null);
  assert.is(await codeOf(() => file.describe()), "ENOMEM");
  file.close();
  kernel.check();
});

test("same-seed-same-run: the order of events follows from the seed", async () => {
  const run = async (seed: number): Promise<string> => {
    const kernel = new VirtualKernel("linux-x86_64-glibc", { seed });
    const { platform } = kernel.process();
    const order: string[] = [];
    kernel.fault = ({ name, fd }: Call) => {
      order.push(`${name} ${fd}`);
      return null;
    };
    const pairs = Array.from({ length: 4 }, () => UnixStream.pair({ platform }));
    const receiving = pairs.map(([, b]) => b.recvFds(0));
    for (const [a] of pairs) await a.sendFds("x");
    await Promise.all(receiving);
    for (const [a, b] of pairs) {
      a.close();
      b.close();
    }
    kernel.check();
    return order.join("\n");
  };
  assert.is(await run(5), await run(5));
  const runs = new Set(await Promise.all([1, 2, 3, 4, 5, 6].map(run)));
  assert.ok(runs.size > 1, "the seed changes nothing");
});

test("same-seed-same-run: names that the kernel chooses begin again with a reset", () => {
  const kernel = new VirtualKernel("linux-x86_64-glibc");
  const { platform } = kernel.process();
  const names = [1, 1].map((seed) => {
    kernel.reset(seed);
    const socket = UnixDatagram.bind("", { platform });
    const { address } = socket;
    socket.close();
    return address;
  });
  assert.is(names[0], names[1]);
});

test("options: what a process tells its peer, and sizes of buffers", async () => {
  for (const abi of ["linux-x86_64-glibc", "linux-mips-glibc", "freebsd-amd64"] as const) {
    const linux = abi.startsWith("linux");
    const kernel = new VirtualKernel(abi, { bufferBytes: 100 });
    const groups = Array.from({ length: 1000 }, (_, i) => i);
    const label = `system_u:${"x".repeat(1000)}\0`;
    const server = kernel.process({ label, groups });
    const client = kernel.process();
    const listener = UnixListener.bind("/socket", { platform: server.platform });
    const stream = UnixStream.connectSync("/socket", { platform: client.platform });
    const accepted = listener.acceptSync();
    if (linux) {
      assert.equal(stream.peerGroups(), groups);
      assert.is(stream.peerSecurity(), label.slice(0, -1));
      assert.equal(accepted.peerGroups(), []);
      assert.is(await codeOf(() => accepted.peerSecurity()), "ENOPROTOOPT");
      stream.setPassSecurity(true);
      accepted.sendFdsSync("x");
      assert.is(stream.recvFdsSync(0).security, label.slice(0, -1));
    } else {
      assert.is(await codeOf(() => stream.peerGroups()), "ENOTSUP");
      assert.is(await codeOf(() => stream.peerSecurity()), "ENOTSUP");
      assert.is(await codeOf(() => stream.setPassRights(true)), "ENOTSUP");
      const credentials = Uint8Array.from(stream.getOption("SOL_LOCAL", "LOCAL_PEERCRED", 8));
      assert.is(new Uint32Array(credentials.buffer)[1], 1000);
    }
    const [a, b] = UnixDatagram.pair({ platform: client.platform });
    assert.is(await codeOf(() => a.sendFdsSync(Buffer.alloc(200))), "EMSGSIZE");
    for (const one of [a, b]) {
      one.setOption("SOL_SOCKET", "SO_SNDBUF", 300);
      one.setOption("SOL_SOCKET", "SO_RCVBUF", 300);
      assert.is(one.getOption("SOL_SOCKET", "SO_SNDBUF"), linux ? 600 : 300);
    }
    assert.is(a.sendFdsSync(Buffer.alloc(200)), 200);
    for (const one of [a, b, listener, stream, accepted]) one.close();
    kernel.check();
  }
});

test("old-kernels: an option that the kernel is too old for: the error says which has it, and which this is", async () => {
  const { since } = abis["linux-x86_64-glibc"];
  const from = (name: string): RegExp =>
    new RegExp(`${name} needs Linux ${since[name]}; this is 5\\.10\\.0-30-amd64\\)`);
  for (const kernel of ["5.10.0-30-amd64", "6.4", "6.5", "6.15", "6.16", undefined]) {
    const machine = new VirtualKernel("linux-x86_64-glibc", { kernel });
    const [a, b] = UnixStream.pair({ platform: machine.process().platform });
    const minor = kernel === undefined ? [6, 18] : kernel.split(".").map((part) => Number.parseInt(part, 10));
    const has = (name: string): boolean => {
      const [major, least] = since[name]!.split(".").map(Number) as [number, number];
      return minor[0]! > major || (minor[0] === major && minor[1]! >= least);
    };
    const calls = [
      ["SO_PASSRIGHTS", () => b.setPassRights(true)],
      ["SO_PASSPIDFD", () => b.setPassPidfd(true)],
      ["SO_PEERPIDFD", () => b.peerPidfd().close()],
      ["SO_PASSRIGHTS", () => void b.getOption("SOL_SOCKET", "SO_PASSRIGHTS")],
    ] as const;
    for (const [name, call] of calls) {
      if (has(name)) {
        call();
        continue;
      }
      const error = (await errorOf(call)) as Error & { code?: string };
      assert.is(error.code, "ENOPROTOOPT", `${kernel} ${name}`);
      if (kernel!.startsWith("5.10")) assert.match(error.message, from(name));
      else assert.match(error.message, `${name} needs Linux ${since[name]}; this is ${kernel}`);
    }
    // What a number of the table is not for: the text claims nothing.
    const { message } = await errorOf(() => b.getOption("SOL_SOCKET", 9999));
    assert.match(message, /option 9999 of level 1\)$/);
    a.sendFdsSync("x", [a]);
    const received = b.recvFdsExactSync(1);
    assert.is(received.pidfd !== null, has("SO_PASSPIDFD"), kernel);
    received[Symbol.dispose]();
    for (const one of [a, b]) one.close();
    machine.check();
  }
});

test("old-kernels: a kernel that could have the option says only which option it is", async () => {
  const kernel = new VirtualKernel("linux-x86_64-glibc");
  const [a, b] = UnixStream.pair({ platform: kernel.process().platform });
  kernel.fault = ({ name }) => (name === "setsockopt" ? { errno: "ENOPROTOOPT" } : null);
  assert.match((await errorOf(() => b.setPassRights(false))).message, /setsockopt \(SO_PASSRIGHTS\)$/);
  a.sendFdsSync("x", [a]);
  b.recvFdsExactSync(1)[Symbol.dispose]();
  a.close();
  b.close();
  kernel.check();
});

test("old-kernels: seals of memfds, before Linux 6.3", async () => {
  const seals = (kernel: string): readonly string[] => {
    const machine = new VirtualKernel("linux-x86_64-glibc", { kernel });
    const memory = memfd("m", { data: "x", seal: true, platform: machine.process().platform });
    const found = memory.describe().seals!;
    memory.close();
    machine.check();
    return found;
  };
  assert.equal(seals("6.3").includes("exec"), true);
  assert.equal(seals("6.2").includes("exec"), false);
  const { platform } = new VirtualKernel("linux-x86_64-glibc", { kernel: "6.2.1" }).process();
  const error = await errorOf(() => memfd("m", { seal: ["exec"], platform }));
  assert.match(error.message, /^EINVAL: .*the seal "exec" needs Linux 6\.3; this is 6\.2\.1\)/);
});

test("old-kernels: a connection has the options of its listener from accept on, before Linux 6.16", () => {
  const passes = (kernel: string, when: "before connect" | "before accept"): string => {
    const machine = new VirtualKernel("linux-x86_64-glibc", { kernel });
    const { platform } = machine.process();
    const listener = UnixListener.bind("/s", { platform });
    if (when === "before connect") listener.setPassCredentials(true);
    const client = UnixStream.connectSync("/s", { platform });
    listener.setPassCredentials(when === "before accept");
    const accepted = listener.acceptSync();
    const is = accepted.getOption("SOL_SOCKET", "SO_PASSCRED");
    for (const one of [listener, client, accepted]) one.close();
    machine.check();
    return String(is);
  };
  // The library sets on accepted sockets what was set on their listener: with every kernel they agree with it.
  for (const kernel of ["5.10", "6.15", "6.16", "7.2"]) {
    assert.is(passes(kernel, "before accept"), "1", kernel);
    assert.is(passes(kernel, "before connect"), "0", kernel);
  }
  const raw = (kernel: string): number => {
    const machine = new VirtualKernel("linux-x86_64-glibc", { kernel });
    const { platform } = machine.process();
    const { system, constants } = platform;
    const listener = UnixListener.bind("/s", { platform });
    const client = UnixStream.connectSync("/s", { platform });
    system.setsockopt(listener.fd, constants.SOL_SOCKET!, constants.SO_PASSCRED!, 1);
    const fd = system.accept(listener.fd);
    const into = new Int32Array(1);
    system.getsockopt(fd, constants.SOL_SOCKET!, constants.SO_PASSCRED!, new Uint8Array(into.buffer));
    system.close(fd);
    for (const one of [listener, client]) one.close();
    machine.check();
    return into[0]!;
  };
  assert.equal(["5.10", "6.15", "6.16"].map(raw), [1, 1, 0]);
});

test("old-kernels: ENOTCONN before EPIPE on a datagram socket; an empty record that resets the peer", async () => {
  for (const [kernel, expected] of [
    ["5.10", "ENOTCONN ECONNRESET"],
    // Series that the change came to in a point release, and their neighbours.
    ["6.1", "ENOTCONN eof"],
    ["6.2", "ENOTCONN ECONNRESET"],
    ["6.12", "ENOTCONN eof"],
    ["6.13", "ENOTCONN ECONNRESET"],
    ["6.14", "EPIPE ECONNRESET"],
    ["6.15", "EPIPE eof"],
    ["6.18", "EPIPE eof"],
  ] as const) {
    const machine = new VirtualKernel("linux-x86_64-glibc", { kernel });
    const { platform } = machine.process();
    const socket = UnixDatagram.unbound({ platform });
    socket.shutdown("write");
    const first = await codeOf(() => socket.sendFdsSync("x"));
    const [a, b] = UnixSeqpacket.pair({ platform });
    a.sendFdsSync("");
    b.close();
    const second = await codeOf(() => a.recvFdsSync(0)).catch(() => "eof");
    assert.is(`${first} ${second}`, expected, kernel);
    for (const one of [socket, a]) one.close();
    machine.check();
  }
});

test("old-kernels: only Linux has versions, from 5.10 on", async () => {
  const refused = (abi: AbiName, kernel: unknown): Promise<string> =>
    errorOf(() => new VirtualKernel(abi, { kernel: kernel as string })).then(
      (error) => `${(error as { code?: string }).code} ${error.message}`,
    );
  for (const unreadable of ["", "6", "six", "6.", "v6.1", "5.9.16", "4.4.0", "6.x"])
    assert.match(await refused("linux-x86_64-glibc", unreadable), /^ERR_INVALID_ARG_VALUE .*from 5\.10 on/, unreadable);
  assert.match(await refused("linux-x86_64-glibc", 6.1), /^ERR_INVALID_ARG_TYPE /);
  for (const other of SYSTEMS.filter((name) => !name.startsWith("linux")))
    assert.match(await refused(other, "6.1"), /^ERR_INVALID_ARG_VALUE .*none for /, other);
});

/** Kept alive: the library would report a collected descriptor as a leak. */
const kept: unknown[] = [];

test("what-it-finds: leaks, double closes, use after close, descriptors that a child could inherit, SIGPIPE", async () => {
  const found = (action: (kernel: VirtualKernel) => unknown): Promise<string> =>
    errorOf(async () => {
      const kernel = new VirtualKernel("darwin-arm64");
      await action(kernel);
      kernel.check();
    }).then((error) => error.message);

  assert.match(
    await found((kernel) => {
      kept.push(UnixStream.pair({ platform: kernel.process().platform }));
    }),
    /leaked descriptor 3: stream/,
  );
  assert.match(
    await found((kernel) => {
      const process = kernel.process();
      const file = process.open("f");
      process.platform.system.close(file.fd);
      return codeOf(() => file.close());
    }),
    /closed descriptor 3, which is not open/,
  );
  assert.match(
    await found((kernel) => {
      const process = kernel.process();
      const [a, b] = UnixStream.pair({ platform: process.platform });
      b.close();
      process.platform.system.close(a.fd);
      kept.push(a);
      return codeOf(() => a.trySendFds("x"));
    }),
    /sent on descriptor 3, which is not open/,
  );
  assert.match(
    await found((kernel) => {
      const process = kernel.process();
      const { system, constants } = process.platform;
      const file = process.open("f");
      system.fcntl(file.fd, constants.F_SETFD!, 0);
      kept.push(file, UnixStream.pair({ platform: process.platform }));
    }),
    /called socketpair with 1 descriptors that a child would inherit/,
  );
  assert.match(
    await found((kernel) => {
      const process = kernel.process();
      const [a, b] = UnixStream.pair({ platform: process.platform });
      b.close();
      process.platform.system.sendmsg(a.fd, Buffer.from("x"), 0, 1, 0, 0, null);
      a.close();
    }),
    /was killed by SIGPIPE/,
  );
  // A descriptor that a child could have inherited is found, although it is closed later.
  assert.match(
    await found(async (kernel) => {
      const process = kernel.process();
      const [a, b] = UnixStream.pair({ platform: process.platform });
      const file = process.open("f");
      a.sendFdsSync("x", [file]);
      const { system } = process.platform;
      system.recvmsg(b.fd, Buffer.alloc(1), 0, 1, 64, 0, false);
      await kernel.idle();
      for (const fd of [a.fd, b.fd, file.fd, file.fd + 1]) system.close(fd);
      kept.push(a, b, file);
    }),
    /went on with 1 descriptors that a child would inherit/,
  );
  assert.match(
    (
      await errorOf(() => {
        const kernel = new VirtualKernel("freebsd-amd64");
        const process = kernel.process();
        const [a, b] = UnixStream.pair({ platform: process.platform });
        a.sendFdsSync("x", [a]);
        process.platform.system.recvmsg(b.fd, Buffer.alloc(1), 0, 1, 64, 0, false);
        process.platform.system.close(b.fd + 1);
        a.close();
        b.close();
        kernel.check();
      })
    ).message,
    /received descriptor 5 without MSG_CMSG_CLOEXEC/,
  );
});

/** The result of a receive of `n` descriptors with `room` free slots and a control buffer of `space` bytes (0: none). */
interface Outcome {
  readonly error: string | null;
  /** How many descriptors are in the control data, and how many more are open. */
  readonly named: number;
  readonly lost: number;
  readonly truncated: boolean;
  /** `cmsg_len` and `msg_controllen`; 0: no message. */
  readonly length: number;
  readonly control: number;
}

const NOTHING: Outcome = { error: null, named: 0, lost: 0, truncated: false, length: 0, control: 0 };

/** The rules, written again as functions of numbers: uipc_usrreq.c of each system, net/core/scm.c. */
const OUTCOMES: Readonly<Record<string, (n: number, space: number, room: number, abi: Abi) => Outcome>> = {
  linux(n, space, room, { dataOffset, alignBytes }) {
    const k = space < dataOffset ? 0 : Math.min(n, Math.floor((space - dataOffset) / 4), room);
    const length = k === 0 ? 0 : dataOffset + 4 * k;
    const control = Math.min(space, Math.ceil(length / alignBytes) * alignBytes);
    return { ...NOTHING, named: k, truncated: k < n, length, control };
  },
  freebsd: (n, space, room, abi) => wholeOrNothing("EMFILE", n, space, room, abi),
  netbsd: (n, space, room, abi) => wholeOrNothing("EMSGSIZE", n, space, room, abi),
  openbsd(n, space, room, { dataOffset }) {
    if (space === 0) return NOTHING;
    if (room < n || n > Math.floor((space - dataOffset) / 4)) return { ...NOTHING, error: "EMSGSIZE" };
    return { ...NOTHING, named: n, length: dataOffset + 4 * n, control: dataOffset + 4 * n };
  },
  dragonfly: (n, space, room, abi) => (space === 0 ? NOTHING : installedFirst(n, space, room, abi)),
  xnu(n, space, room, abi) {
    const outcome = installedFirst(n, space, room, abi);
    return { ...outcome, truncated: outcome.error === null && space > 0 && space < abi.dataOffset + 4 * n };
  },
  illumos(n, space, room, { dataOffset }) {
    if (space > 0 && room < n) return { ...NOTHING, error: "EMFILE" };
    const whole = dataOffset + 4 * n;
    const copied = Math.min(space, whole);
    const named = Math.max(0, Math.floor((copied - dataOffset) / 4));
    return { ...NOTHING, named, truncated: space < whole, length: copied, control: copied };
  },
};

function wholeOrNothing(full: string, n: number, space: number, room: number, abi: Abi): Outcome {
  const { dataOffset, alignBytes } = abi;
  if (space === 0) return NOTHING;
  if (room < n) return { ...NOTHING, error: full };
  const needed = Math.ceil((dataOffset + 4 * n) / alignBytes) * alignBytes;
  if (space < needed) return { ...NOTHING, truncated: true };
  return { ...NOTHING, named: n, length: dataOffset + 4 * n, control: needed };
}

function installedFirst(n: number, space: number, room: number, { dataOffset }: Abi): Outcome {
  if (room < n) return { ...NOTHING, error: "EMSGSIZE" };
  const whole = dataOffset + 4 * n;
  const control = Math.min(space, whole);
  const named = Math.max(0, Math.floor((control - dataOffset) / 4));
  return { ...NOTHING, named, lost: n - named, length: control === 0 ? 0 : whole, control };
}

test("truncation-of-every-system: for every size of the control buffer and every number of free slots", () => {
  let cases = 0;
  for (const name of SYSTEMS) {
    const kernel = new VirtualKernel(name);
    const process = kernel.process();
    const { abi, system, core } = process.platform;
    const [a, b] = UnixStream.pair({ platform: process.platform });
    const file = process.open("f");
    const errno = constants.errno as Readonly<Record<string, number>>;
    for (let n = 1; n <= 4; n++) {
      for (let space = 0; space <= core.exports.space(4 * n) + 1; space++) {
        for (let room = 0; room <= n; room++) {
          a.sendFdsSync("x", new Array(n).fill(file));
          kernel.fault = (call) => (call.name === "recvmsg" ? { room } : null);
          const before = new Set(process.descriptors.keys());
          const flags = abi.MSG_CMSG_CLOEXEC ?? 0;
          const result = system.recvmsg(b.fd, Buffer.alloc(1), 0, 1, space, flags, false);
          kernel.fault = null;
          const opened = [...process.descriptors.keys()].filter((fd) => !before.has(fd));
          const control = system.out[0]!;
          const header = new DataView(core.control.slice(0, Math.max(16, control)).buffer);
          const { messages } = new Codec(abi).decode(core.control.slice(0, control), { flags: abi.MSG_CTRUNC });
          const named = messages.flatMap((message) => new Codec(abi).fdsOf(message));
          const wide = abi.os === "linux" && abi.pointerBytes === 8;
          const little = abi.endian === "little";
          const length = wide ? Number(header.getBigUint64(0, little)) : header.getUint32(abi.lengthOffset, little);
          const actual: Outcome = {
            error: result < 0 ? (Object.keys(errno).find((one) => errno[one] === -result) ?? "?") : null,
            named: named.length,
            lost: opened.length - named.length,
            truncated: (system.out[1]! & abi.MSG_CTRUNC) !== 0,
            length: control >= 4 ? length : 0,
            control,
          };
          const expected = OUTCOMES[abi.truncation]!(n, space, room, abi);
          const where = `${name}: ${n} descriptors, ${space} bytes, ${room} slots`;
          assert.equal(actual, { ...expected, length: expected.control >= 4 ? expected.length : 0 }, where);
          assert.ok(
            named.every((fd) => opened.includes(fd)),
            where,
          );
          for (const fd of opened) system.close(fd);
          // After a failed receive the byte is still queued.
          if (result < 0) assert.is(b.recvFdsSync(0).data.toString(), "x", where);
          cases++;
        }
      }
    }
    for (const one of [a, b, file]) one.close();
    kernel.violations.length = abi.MSG_CMSG_CLOEXEC === null ? 0 : kernel.violations.length;
    kernel.check();
  }
  assert.ok(cases > 3000, `${cases} cases`);
});

test("what-a-send-may-carry: what each system refuses, and what it silently loses", async () => {
  const sent = (name: AbiName, messages: readonly (number | "credentials")[], change = 0): string => {
    const kernel = new VirtualKernel(name);
    const process = kernel.process({ descriptors: 4096 });
    const { system, core, abi } = process.platform;
    const [a, b] = UnixStream.pair({ platform: process.platform });
    const file = process.open("f");
    const codec = new Codec(abi);
    const control = codec.encode(
      messages.map((one) =>
        one === "credentials"
          ? { level: abi.SOL_SOCKET, type: abi.SCM_CREDS!, data: new Uint8Array(84) }
          : // By hand: the codec refuses more than the system accepts.
            { ...codec.rights([]), data: Buffer.concat(new Array(one).fill(codec.rights([file.fd]).data)) },
      ),
    );
    core.control.fill(0);
    core.control.set(control);
    const result = system.sendmsg(a.fd, Buffer.from("x"), 0, 1, control.length + change, abi.MSG_NOSIGNAL ?? 0, null);
    let text = result < 0 ? String(Object.entries(constants.errno).find(([, one]) => one === -result)?.[0]) : "";
    if (result >= 0) {
      const flags = abi.MSG_CMSG_CLOEXEC ?? 0;
      system.recvmsg(b.fd, Buffer.alloc(1), 0, 1, 16384, flags, false);
      const came = codec.decode(core.control.slice(0, system.out[0]!)).messages;
      text = came.map(({ type, data }) => (type === abi.SCM_RIGHTS ? data.length / 4 : "credentials")).join("+");
      for (const fd of process.descriptors.keys()) if (![a.fd, b.fd, file.fd].includes(fd)) system.close(fd);
    }
    for (const one of [a, b, file]) one.close();
    if (abi.MSG_CMSG_CLOEXEC === null) kernel.violations.length = 0;
    kernel.check();
    return text;
  };
  // The most descriptors, and one more.
  assert.equal(
    [253, 254].map((n) => sent("linux-x86_64-glibc", [n])),
    ["253", "EINVAL"],
  );
  assert.equal(
    [254, 255].map((n) => sent("darwin-arm64", [n])),
    ["254", "EINVAL"],
  );
  assert.equal(
    [254, 255].map((n) => sent("freebsd-amd64", [n])),
    ["254", "EMSGSIZE"],
  );
  assert.equal(
    [127, 128].map((n) => sent("openbsd-amd64", [n])),
    ["127", "E2BIG"],
  );
  assert.equal(
    [254, 255].map((n) => sent("openbsd-i386", [n])),
    ["254", "E2BIG"],
  );
  assert.equal(
    [1020, 1021].map((n) => sent("netbsd-amd64", [n])),
    ["1020", "EINVAL"],
  );
  assert.equal(
    [84, 85].map((n) => sent("dragonfly-x86_64", [n])),
    ["84", "EINVAL"],
  );
  assert.equal(
    [2045, 2046].map((n) => sent("illumos-amd64", [n])),
    ["2045", "EINVAL"],
  );
  // Several messages: merged, kept separate, refused, or all but the first silently lost.
  const two = Object.fromEntries(SYSTEMS.map((name) => [name, sent(name, [1, 2])]));
  assert.equal(two, {
    "linux-x86_64-glibc": "3",
    "linux-s390x-glibc": "3",
    "linux-i386-musl": "3",
    "darwin-arm64": "EINVAL",
    "freebsd-amd64": "1+2",
    "openbsd-amd64": "EINVAL",
    "netbsd-aarch64": "1",
    "dragonfly-x86_64": "1",
    "illumos-sparcv9": "EINVAL",
  });
  // Trailing bytes: ignored by 64-bit Linux, refused by FreeBSD and by the compatibility layer for 32-bit programs.
  assert.is(sent("linux-x86_64-glibc", [1], 15), "1");
  assert.is(sent("linux-i386-musl", [1], 1), "EINVAL");
  assert.is(sent("freebsd-amd64", [1], 1), "EINVAL");
  assert.is(sent("openbsd-amd64", [1], 1), "EINVAL");
  assert.is(sent("darwin-arm64", [1], 4), "EINVAL");
  assert.is(sent("netbsd-amd64", [1], 4), "1");
  // An SCM_RIGHTS without descriptors: only NetBSD delivers it as such.
  assert.is(sent("netbsd-amd64", [0]), "0");
  assert.is(sent("linux-x86_64-glibc", [0]), "");
  // For a sender that asks for SCM_CREDS the kernel fills them in, at the same position.
  assert.is(sent("freebsd-amd64", [1, "credentials"]), "1+credentials");
  assert.is(sent("freebsd-amd64", ["credentials", 1]), "credentials+1");
  assert.is(sent("dragonfly-x86_64", ["credentials", 1]), "credentials");
  assert.is(sent("netbsd-amd64", ["credentials"]), "EINVAL");
});

test("peek: new descriptors each time, kernel pointers, zeros, or nothing", () => {
  const seen = (name: AbiName): string => {
    const kernel = new VirtualKernel(name);
    const process = kernel.process();
    const { system, core, abi } = process.platform;
    const [a, b] = UnixStream.pair({ platform: process.platform });
    a.sendFdsSync("x", [a, b]);
    const open = process.descriptors.size;
    const flags = abi.MSG_PEEK | (abi.MSG_CMSG_CLOEXEC ?? 0);
    for (let i = 0; i < 2; i++) assert.is(system.recvmsg(b.fd, Buffer.alloc(1), 0, 1, 100, flags, false), 1);
    const opened = [...process.descriptors.keys()].slice(open);
    const { messages } = new Codec(abi).decode(core.control.slice(0, system.out[0]!));
    const data = messages.map((message) => new Codec(abi).fdsOf(message));
    for (const fd of opened) system.close(fd);
    const message = b.recvFdsSync(2);
    assert.is(message.fds.length, 2, name);
    message[Symbol.dispose]();
    for (const one of [a, b]) one.close();
    kernel.check();
    return `${opened.length} ${data.map((fds) => (fds.every((fd) => opened.includes(fd)) ? "named" : fds))}`;
  };
  assert.is(seen("linux-x86_64-glibc"), "4 named");
  assert.is(seen("openbsd-amd64"), "0 ");
  assert.is(seen("darwin-arm64"), "0 0,0");
  for (const name of ["freebsd-amd64", "netbsd-amd64", "dragonfly-x86_64"] as const)
    assert.is(seen(name), `0 ${new Array(4).fill(0x7ff0)}`);
});

test("in-flight: each system's limit on descriptors sent and not received", async () => {
  const sends = async (name: AbiName, most: number, code: string, options: { uid: number }): Promise<void> => {
    const kernel = new VirtualKernel(name, { files: 100, bufferBytes: 1 << 20 });
    const process = kernel.process({ descriptors: 64, ...options });
    const [a, b] = UnixStream.pair({ platform: process.platform });
    const file = process.open("f");
    for (let sent = 0; sent < most; sent += 5) a.sendFdsSync("x", new Array(5).fill(file));
    assert.is(await codeOf(() => a.sendFdsSync("x", new Array(5).fill(file), { timeout: 0 })), code, name);
    assert.is(a.trySendFds("x"), 1, "bytes alone go on");
    // Received and lost descriptors make room.
    b.recvFdsSync(5)[Symbol.dispose]();
    a.sendFdsSync("x", new Array(5).fill(file));
    for (const one of [a, b, file]) one.close();
    kernel.check();
  };
  // The limit is checked before the new ones are added: with 64, a 65th is accepted.
  await sends("linux-x86_64-glibc", 65, "ETOOMANYREFS", { uid: 1000 });
  await sends("openbsd-amd64", 10, "EMFILE", { uid: 0 });
  // NetBSD returns EAGAIN, although the socket has room.
  await sends("netbsd-amd64", 50, "ETIMEDOUT", { uid: 0 });
});

test("in-flight: after NetBSD's EAGAIN on a writable socket, the send is tried again after a pause", async () => {
  const kernel = new VirtualKernel("netbsd-amd64", { files: 2 });
  const process = kernel.process();
  const [a, b] = UnixStream.pair({ platform: process.platform });
  await a.sendFds("1", [a]);
  const sending = a.sendFds("2", [a]);
  await kernel.advance(1000);
  assert.ok(kernel.calls < 100, `${kernel.calls} calls`);
  (await b.recvFds(1))[Symbol.dispose]();
  await sending;
  (await b.recvFds(1))[Symbol.dispose]();
  a.close();
  b.close();
  kernel.check();
});

test("in-flight: sockets that are only in each other's queues are closed, on both kernels", async () => {
  const lost = async (options: PlatformOptions, wait: () => Promise<unknown>): Promise<void> => {
    // A socket in its own queue.
    const [a, b] = UnixStream.pair(options);
    a.sendFdsSync("x", [b]);
    b.close();
    // Two sockets, each in the queue of the other; a third one sees both closed.
    const [c, d] = UnixStream.pair(options);
    const [e, f] = UnixStream.pair(options);
    const [watcher, watched] = UnixStream.pair(options);
    c.sendFdsSync("x", [f, watched]);
    e.sendFdsSync("x", [d]);
    for (const one of [d, f, watched]) one.close();
    const ends = Promise.all([a.recvFds(0), watcher.recvFds(0)]);
    c.close();
    e.close();
    await wait();
    // The queues are freed with them: no data are unread, so the end is not a reset.
    for (const end of await ends) assert.is(end.eof, true);
    a.close();
    watcher.close();
  };
  const kernel = new VirtualKernel("linux-x86_64-glibc");
  await lost({ platform: kernel.process().platform }, () => kernel.idle());
  kernel.check();
  await lost({}, async () => {});
});

test("signal: a call interrupted by a signal is made again, at every call", async () => {
  for (const name of ["linux-x86_64-glibc", "darwin-arm64"] as const) {
    const run = async (at: number | null): Promise<{ calls: number; names: string[] }> => {
      const kernel = new VirtualKernel(name);
      const process = kernel.process();
      const names: string[] = [];
      kernel.fault = ({ index, name: call }) => {
        names.push(call);
        return index === at ? { errno: "EINTR" } : null;
      };
      const listener = UnixListener.bind("/socket", { platform: process.platform });
      const client = await UnixStream.connect("/socket", { platform: process.platform });
      const server = listener.acceptSync();
      client.sendFdsSync("x", [client]);
      const message = await server.recvFds(1);
      message[Symbol.dispose]();
      for (const one of [listener, client, server]) {
        try {
          one.close();
        } catch (error) {
          // Closed in spite of the error, and not again.
          assert.is((error as { syscall?: string }).syscall, "close");
        }
      }
      kernel.check();
      return { calls: kernel.calls, names };
    };
    const { calls, names } = await run(null);
    for (let at = 0; at < calls; at++)
      assert.is((await run(at)).calls, calls + (names[at] === "close" ? 0 : 1), `${names[at]}, call ${at}`);
  }
});

test("darwin-rules: descriptors beyond the control buffer stay open, and their numbers are unknown", () => {
  const kernel = new VirtualKernel("darwin-arm64");
  const process = kernel.process();
  const { system, core, abi } = process.platform;
  const [a, b] = UnixStream.pair({ platform: process.platform });
  const file = process.open("f");
  a.sendFdsSync("x", [file, file, file]);
  const room = core.exports.space(4);
  system.recvmsg(b.fd, Buffer.alloc(1), 0, 1, room, 0, false);
  assert.ok((system.out[1]! & abi.MSG_CTRUNC) !== 0);
  assert.is(system.out[0], room);
  assert.is(process.descriptors.size, 3 + 3);
  a.close();
  b.close();
  file.close();
  assert.match(
    (() => {
      try {
        kernel.check();
      } catch (error) {
        return (error as Error).message;
      }
      return "";
    })(),
    /leaked descriptor 6: f[\s\S]*leaked descriptor 7: f[\s\S]*leaked descriptor 8: f/,
  );
});

/** A pair on a system, the raw calls on it, and what a receive reports: bytes or the name of the error, `msg_flags`, control bytes. */
function rawPair(name: AbiName, type: "stream" | "dgram" | "seqpacket") {
  const kernel = new VirtualKernel(name);
  const process = kernel.process();
  const { platform } = process;
  const { system, abi } = platform;
  const [a, b] = { stream: UnixStream, dgram: UnixDatagram, seqpacket: UnixSeqpacket }[type].pair({ platform });
  const named = (result: number) =>
    result < 0 ? Object.entries(constants.errno).find(([, one]) => one === -result)?.[0] : result;
  const receive = (room: number, control: number, flags: number) => {
    const result = system.recvmsg(b!.fd, Buffer.alloc(room), 0, room, control, flags | abi.MSG_DONTWAIT, false);
    return [named(result), system.out[1]!, system.out[0]!] as const;
  };
  const sendEmpty = (control: number) =>
    named(system.sendmsg(a!.fd, Buffer.alloc(0), 0, 0, control, abi.MSG_DONTWAIT | (abi.MSG_NOSIGNAL ?? 0), null));
  return { kernel, process, platform, system, abi, a: a!, b: b!, receive, sendEmpty };
}

test("netbsd-rules: a peek with room for less than CMSG_SPACE delivers nothing, and MSG_CTRUNC", () => {
  const { kernel, process, platform, abi, a, b, receive } = rawPair("netbsd-amd64", "stream");
  const file = process.open("f");
  a.sendFdsSync("x", [file, file]);
  const space = platform.core.exports.space(2 * abi.pointerBytes);
  const flags = abi.MSG_PEEK | abi.MSG_DONTWAIT;
  for (let room = 1; room < space; room++)
    assert.equal(receive(1, room, abi.MSG_PEEK), [1, flags | abi.MSG_CTRUNC, 0], `${room} bytes`);
  assert.equal(receive(1, space, abi.MSG_PEEK), [1, flags, space]);
  assert.equal(receive(1, 0, abi.MSG_PEEK), [1, flags, 0]);
  for (const one of [a, b, file]) one.close();
  kernel.check();
});

test("bsd-rules: msg_flags, no POLLHUP, a receive into no bytes, EPIPE before the control data, shutdown", async () => {
  for (const name of SYSTEMS) {
    const { kernel, process, abi, system, platform, a, b, receive, sendEmpty } = rawPair(name, "stream");
    const bsd = !/^(linux|illumos)/.test(name);
    const unix = !name.startsWith("linux");
    const { POLLHUP } = platform.constants as { POLLHUP: number };
    assert.is(receive(0, 64, 0)[0], /^(darwin|netbsd|dragonfly)/.test(name) ? 0 : "EAGAIN", name);
    const file = process.open("f");
    a.sendFdsSync("x", [file]);
    b.shutdown("read");
    assert.is(receive(1, 64, 0)[0], unix ? 0 : 1, name);
    assert.is(receive(1, 64, 0)[1]! & abi.MSG_DONTWAIT, bsd ? abi.MSG_DONTWAIT : 0, name);
    const descriptors = [...process.descriptors.keys()];
    for (const fd of descriptors) if (![a.fd, b.fd, file.fd].includes(fd)) system.close(fd);
    b.close();
    // A control message of no system.
    platform.core.control.fill(0xff, 0, 64);
    assert.is(sendEmpty(64), unix && !name.startsWith("freebsd") ? "EPIPE" : "EINVAL", name);
    const hangsUp = (system.poll(a.fd, POLLHUP, 0) & POLLHUP) !== 0;
    assert.is(hangsUp, !name.startsWith("netbsd"), name);
    assert.is((await a.recvFds(1)).eof, true, name);
    for (const one of [a, file]) one.close();
    kernel.violations.length = 0;
    kernel.check();
  }
});

test("bsd-rules: a datagram to a receiver that is closed: ECONNRESET, of the send or of a receive that waits, once", async () => {
  for (const name of SYSTEMS) {
    const { kernel, platform, a, b } = rawPair(name, "dgram");
    const linux = name.startsWith("linux");
    b.sendFdsSync("before");
    const [c, d] = UnixDatagram.pair({ platform });
    const waiting = linux ? null : errorOf(c.recvFds(0));
    b.close();
    d.close();
    assert.is(await codeOf(() => a.sendFdsSync("x")), linux ? "ECONNREFUSED" : "ECONNRESET", name);
    if (linux) assert.is(a.tryRecvFds(0), null, name);
    else assert.is(a.recvFdsSync(0).data.toString(), "before", name);
    const error = (await errorOf(() => a.sendFdsSync("x"))) as Error & { code?: string };
    assert.is(error.code, linux ? "ENOTCONN" : "EDESTADDRREQ", name);
    assert.match(error.message, "a datagram socket sends with sendFdsTo, or after connect", name);
    if (waiting !== null) assert.is(((await waiting) as { code?: string }).code, "ECONNRESET", name);
    a.close();
    c.close();
    kernel.check();
  }
});

test("bsd-rules: a bind replaces the file of a socket that is closed, whatever the system says of it", async () => {
  for (const name of SYSTEMS) {
    const kernel = new VirtualKernel(name);
    const former = kernel.process();
    UnixDatagram.bind("/s", { platform: former.platform });
    former.kill();
    const { platform } = kernel.process();
    const socket = UnixDatagram.unbound({ platform });
    const dead = name.startsWith("illumos") ? "EDESTADDRREQ" : "ECONNREFUSED";
    assert.is(await codeOf(() => socket.sendFdsToSync("x", [], "/s")), dead, name);
    UnixDatagram.bind("/s", { platform }).close();
    socket.close();
  }
});

test("bsd-rules: shutdown without a peer: ENOTCONN, where the system asks for one", async () => {
  for (const name of SYSTEMS) {
    const { platform } = new VirtualKernel(name).process();
    const socket = UnixDatagram.unbound({ platform });
    const asks = !/^(linux|openbsd|netbsd|dragonfly)/.test(name);
    assert.is(
      await codeOf(() => socket.shutdown("write")).catch(() => "no error"),
      asks ? "ENOTCONN" : "no error",
      name,
    );
    socket.close();
  }
});

test("bsd-rules: an empty record is lost, one with descriptors is not; no peek meets one", async () => {
  for (const name of ["netbsd-amd64", "openbsd-amd64", "dragonfly-x86_64"] as const) {
    const { kernel, process, abi, a, b, receive } = rawPair(name, "seqpacket");
    const file = process.open("f");
    a.sendFdsSync("");
    assert.equal(receive(1, 64, 0)[0], "EAGAIN", name);
    a.sendFdsSync("");
    a.sendFdsSync("", [file]);
    const message = b.recvFdsSync(1);
    assert.is(message.fds.length, 1, name);
    message[Symbol.dispose]();
    a.sendFdsSync("");
    const peek = { flags: abi.MSG_PEEK };
    assert.is(await codeOf(() => recvmsg(b, Buffer.alloc(1), null, peek)), "ERR_OUT_OF_RANGE", name);
    // A receive into no bytes would be answered with 0, and the end looked for with a peek.
    if (!name.startsWith("openbsd")) {
      assert.is(await codeOf(() => recvmsg(b, Buffer.alloc(0))), "ERR_OUT_OF_RANGE", name);
      assert.is(await codeOf(() => b.recvFdsIntoSync(Buffer.alloc(0), 0)), "ERR_OUT_OF_RANGE", name);
    }
    a.close();
    assert.is(b.recvFdsSync(0).eof, true, name);
    b.close();
    file.close();
    kernel.check();
    // The raw call would not return.
    const other = rawPair(name, "seqpacket");
    other.a.sendFdsSync("");
    other.receive(1, 0, abi.MSG_PEEK);
    other.a.close();
    other.b.close();
    assert.match((await errorOf(() => other.kernel.check())).message, /never returns/);
  }
});

test("marked-records: FreeBSD 15 ends a record where its sender says so; a part of one is told as cut", async () => {
  for (const name of ["freebsd-amd64", "freebsd-i386"] as const) {
    const kernel = new VirtualKernel(name, { bufferBytes: 10 });
    const process = kernel.process();
    const { platform } = process;
    const [a, b] = UnixSeqpacket.pair({ platform });
    const file = process.open("f");
    // Without marks they would be received together.
    a.sendFdsSync("one");
    a.sendFdsSync("two", [file]);
    assert.is(b.recvFdsSync(0).data.toString(), "one", name);
    const second = b.recvFdsSync(1);
    assert.is(`${second.data} ${second.fds.length} ${second.dataTruncated}`, "two 1 false", name);
    second[Symbol.dispose]();
    // Longer than the buffer of the receive: the rest is not lost.
    a.sendFdsSync("abcdef");
    a.sendFdsSync("gh");
    const cut = (await errorOf(() => b.recvFdsSync(0, { bufferSize: 4 }))) as Error & { code?: string; data?: Buffer };
    assert.is(`${cut.code} ${cut.data}`, "ERR_DATA_TRUNCATED abcd", name);
    const rest = b.recvFdsSync(0, { bufferSize: 4, allowTruncated: true });
    assert.is(`${rest.data} ${rest.dataTruncated}`, "ef false", name);
    assert.is(b.recvFdsSync(0, { bufferSize: 2 }).data.toString(), "gh", name);
    // Longer than the room of the receiver: a part is taken, and the rest continues the record.
    assert.is(a.sendFdsSync("0123456789abc", [file]), 10, name);
    const part = b.recvFdsSync(1, { allowTruncated: true });
    assert.is(`${part.data} ${part.fds.length} ${part.dataTruncated}`, "0123456789 1 true", name);
    part[Symbol.dispose]();
    a.sendFdsSync("abc");
    assert.is(b.recvFdsSync(0).dataTruncated, false, name);
    const whole = a.sendFdsAll("A".repeat(25), [file]);
    let came = "";
    let fds = 0;
    for (let more = true; more; ) {
      const piece = await b.recvFds(1, { allowTruncated: true });
      came += piece.data;
      fds += piece.fds.length;
      more = piece.dataTruncated;
      piece[Symbol.dispose]();
    }
    await whole;
    assert.is(`${came.length} ${fds}`, "25 1", name);
    // A program that passes no MSG_EOR.
    platform.system.sendmsg(a.fd, Buffer.from("x"), 0, 1, 0, platform.sendFlags, null);
    assert.is(await codeOf(() => b.recvFdsSync(0)), "ERR_DATA_TRUNCATED", name);
    a.close();
    assert.is(b.recvFdsSync(0).eof, true, name);
    for (const one of [b, file]) one.close();
    kernel.check();
  }
});

test("marked-records: not on a stream, not before FreeBSD 15, not on other systems", () => {
  const marks = (name: AbiName, release: string | null, type: "stream" | "seqpacket"): boolean => {
    const kernel = new VirtualKernel(name);
    const given = kernel.process().platform;
    const flags: number[] = [];
    const system: typeof given.system = {
      ...given.system,
      ...(release === null ? {} : { release }),
      sendmsg(...args) {
        flags.push(args[5]);
        return given.system.sendmsg(...args);
      },
    };
    const platform = new (given.constructor as new (on: typeof system, abi: Abi) => typeof given)(system, kernel.abi);
    const [a, b] = type === "stream" ? UnixStream.pair({ platform }) : UnixSeqpacket.pair({ platform });
    a.sendFdsSync("x");
    for (const one of [a, b]) one.close();
    kernel.check();
    return (flags[0]! & kernel.abi.MSG_EOR) !== 0;
  };
  assert.equal(
    [null, "16.0-CURRENT", "15.0-RELEASE", "14.3-RELEASE-p1"].map((release) =>
      marks("freebsd-amd64", release, "seqpacket"),
    ),
    [true, true, true, false],
  );
  assert.is(marks("freebsd-amd64", null, "stream"), false);
  for (const name of SYSTEMS.filter((one) => !/^(freebsd|darwin)/.test(one)))
    assert.is(marks(name, null, "seqpacket"), false, name);
});

test("xnu-collects: a socket that only a message refers to receives the end, after a close of any Unix socket", async () => {
  const outcome = async (name: AbiName, keeps: boolean): Promise<string> => {
    const kernel = new VirtualKernel(name);
    const { platform } = kernel.process();
    const [a, b] = UnixStream.pair({ platform });
    const [c, d] = UnixStream.pair({ platform });
    const [e, f] = UnixStream.pair({ platform });
    c.sendFdsSync("for d");
    a.sendFdsSync("x", [d]);
    const kept = keeps ? platform.system.dup(d.fd) : -1;
    d.close();
    e.close();
    const message = b.recvFdsExactSync(1);
    const received = UnixStream.from(message.fds[0]!);
    const { eof, data } = received.recvFdsSync(0);
    for (const one of [a, b, c, f, received]) one.close();
    if (keeps) platform.system.close(kept);
    kernel.check();
    return eof ? "the end" : data.toString();
  };
  assert.is(await outcome("darwin-arm64", false), "the end");
  assert.is(await outcome("darwin-arm64", true), "for d");
  for (const name of SYSTEMS.filter((one) => !one.startsWith("darwin")))
    assert.is(await outcome(name, false), "for d", name);
});

test("faults: an errno, a short write, a full table, a peer that dies", async () => {
  const kernel = new VirtualKernel("linux-x86_64-glibc");
  const [parent, child] = [kernel.process(), kernel.process()];
  const listener = UnixListener.bind("\0faults", { platform: parent.platform });
  const client = UnixStream.connectSync("\0faults", { platform: child.platform });
  const server = listener.acceptSync();
  const file = child.open("f");
  const on = (name: string, fault: ReturnType<NonNullable<VirtualKernel["fault"]>>) => {
    kernel.fault = (call) => (call.name === name ? fault : null);
  };
  on("sendmsg", { errno: "ENOMEM" });
  assert.is(await codeOf(client.sendFds("x", [file])), "ENOMEM");
  on("sendmsg", { short: 2 });
  assert.is(await client.sendFds("hello", [file]), 2);
  on("recvmsg", { room: 0 });
  const error = (await errorOf(server.recvFds(1))) as { code?: string; reason?: string; data?: Buffer };
  assert.is(error.code, "ERR_ANCILLARY_TRUNCATED");
  assert.is(error.data?.toString(), "he");
  // A misspelled name is not the error of some other.
  on("sendmsg", { errno: "ENOMEN" as "ENOMEM" });
  assert.is(await codeOf(client.sendFds("x")), "ERR_OUT_OF_RANGE");
  on("sendmsg", { dies: parent });
  assert.is(await codeOf(client.sendFds("x", [file])), "EPIPE");
  kernel.fault = null;
  client.close();
  file.close();
  kernel.check();
});

test("wrong-arguments: options are read once, and a misspelled one is refused", () => {
  let reads = 0;
  const kernel = new VirtualKernel("linux-x86_64-glibc", {
    get bufferBytes() {
      return ++reads;
    },
  });
  const process = kernel.process({
    get uid() {
      return ++reads;
    },
  });
  assert.is(reads, 2);
  assert.is(process.uid, 2);
  const refused = (run: () => unknown) => assert.throws(run, (error: Error) => error instanceof TypeError);
  refused(() => process.open(5 as unknown as string));
  refused(() => kernel.check(5 as never));
  refused(() => kernel.check({ opne: new Map() } as never));
  refused(() => kernel.check({ open: [] } as never));
  kernel.check({ open: new Map() });
});

test("time: passes when nothing else is left to do, and a wait for ever is an error", async () => {
  const kernel = new VirtualKernel("darwin-arm64", { bufferMessages: 1 });
  const process = kernel.process();
  const [a, b] = UnixDatagram.pair({ platform: process.platform });
  await a.sendFds("1");
  // After ENOBUFS the send is tried again after a pause: no readiness event reports room.
  const sending = a.sendFds("2");
  await kernel.advance(100);
  assert.is(kernel.now, 100);
  assert.is((await b.recvFds(0)).data.toString(), "1");
  await sending;
  assert.is((await b.recvFds(0)).data.toString(), "2");
  assert.is(await codeOf(() => b.recvFdsSync(0)), "EDEADLK");
  assert.is(await codeOf(() => b.recvFdsSync(0, { timeout: 1000 })), "ETIMEDOUT");
  kernel.whileWaiting = () => {
    a.sendFdsSync("3");
    kernel.whileWaiting = null;
    return true;
  };
  assert.is(b.recvFdsSync(0).data.toString(), "3");
  a.close();
  b.close();
  kernel.check();
});

test("seqpacket-end: a peer that shut down only its sending end is distinguished from an empty record, on every system", async () => {
  for (const name of SYSTEMS.filter((one) => !one.startsWith("darwin"))) {
    const kernel = new VirtualKernel(name);
    const { platform } = kernel.process();
    const [a, b] = UnixSeqpacket.pair({ platform });
    a.sendFdsSync("");
    a.sendFdsSync("x");
    a.shutdown("write");
    const seen: string[] = [];
    // Without an end this would loop for ever.
    for await (const { data } of b.messages(0)) if (seen.push(data.toString()) === 5) break;
    assert.equal(seen, name.startsWith("freebsd") ? ["x"] : ["", "x"], name);
    a.close();
    b.close();
    kernel.check();
  }
});

test("seqpacket-end: a failed poll(2) is not the end", () => {
  const kernel = new VirtualKernel("linux-x86_64-glibc");
  const { platform } = kernel.process();
  const [a, b] = UnixSeqpacket.pair({ platform });
  a.sendFdsSync("");
  a.sendFdsSync("x");
  kernel.fault = ({ name }) => (name === "poll" ? { errno: "ENOMEM" } : null);
  assert.is(b.recvFdsSync(0).eof, false);
  kernel.fault = null;
  assert.is(b.recvFdsSync(0).data.toString(), "x");
  a.close();
  b.close();
  kernel.check();
});

test("one-message: messages that a system would silently lose are refused", async () => {
  for (const name of ["dragonfly-x86_64", "netbsd-amd64"] as const) {
    const kernel = new VirtualKernel(name);
    const process = kernel.process();
    const { platform } = process;
    const file = process.open("f");
    const other = { level: 0, type: 1, data: new Uint8Array(4) };
    const ancillary = new SocketAncillary(256, { platform });
    ancillary.addFds([file]);
    ancillary.addFds([file]);
    assert.is(await codeOf(() => ancillary.addMessage(other)), "ENOTSUP");
    assert.is(await codeOf(() => ancillary.addCredentials({ pid: 1, uid: 1, gid: 1 })), "ENOTSUP");
    const [a, b] = UnixStream.pair({ platform });
    sendmsg(a, "x", ancillary);
    const message = b.recvFdsSync(2);
    assert.is(message.fds.length, 2, name);
    message[Symbol.dispose]();
    ancillary.clear();
    ancillary.addMessage(other);
    assert.is(await codeOf(() => ancillary.addFds([file])), "ENOTSUP");
    for (const one of [a, b, file]) one.close();
    kernel.check();
  }
});

test("seqpacket-on-darwin: not supported", async () => {
  const process = new VirtualKernel("darwin-arm64").process();
  assert.is(await codeOf(() => UnixSeqpacket.pair({ platform: process.platform })), "ENOTSUP");
});

/** The real kernel. */
function realWorld(): World & Disposable {
  const files = new Map(["f", "g", "h"].map((name) => [name, OwnedFd.fromRaw(openSync(fileWith(name), "r"))] as const));
  const inodes = new Map([...files].map(([name, fd]) => [fstatSync(fd.fd).ino, name]));
  return {
    files,
    pid: process.pid,
    paths: [socketPath(), socketPath(), `\0unix-ancillary-${process.pid}`],
    nameOf: (fd) => inodes.get(fstatSync(fd).ino) ?? "?",
    [Symbol.dispose]() {
      for (const file of files.values()) file.close();
    },
  };
}

/** The virtual one, of the version of the kernel that runs, with a process of the same user. */
function virtualWorld(): World & Disposable {
  const kernel = new VirtualKernel("linux-x86_64-glibc", {
    bufferBytes: 1 << 20,
    bufferMessages: 11,
    kernel: release(),
  });
  const own = kernel.process({
    uid: process.getuid!(),
    gid: process.getgid!(),
    descriptors: TABLE,
  });
  const files = new Map(["f", "g", "h"].map((name) => [name, own.open(name)] as const));
  return {
    platform: own.platform,
    files,
    pid: own.pid,
    paths: ["/0", "/1", "\0abstract"],
    nameOf: (fd) => own.nameOf(fd) ?? "?",
    [Symbol.dispose]() {
      for (const file of files.values()) file.close();
      kernel.check();
    },
  };
}

/** The size of the descriptor table in the tests of full tables. */
const TABLE = 128;
/** A uid without processes: descriptors in flight of other users do not count. */
const NOBODY_ELSE = 61234;

/** Fills the descriptor table, except a number of slots, during an action. */
function withRoom(one: OwnedFd): NonNullable<World["withRoom"]> {
  return (free, action) => {
    const filling: OwnedFd[] = [];
    try {
      try {
        for (;;) filling.push(one.dup());
      } catch (error) {
        assert.is((error as { code?: string }).code, "EMFILE");
      }
      for (let i = 0; i < free; i++) filling.pop()!.close();
      return action();
    } finally {
      for (const fd of filling) fd.close();
    }
  };
}

/** Runs the programs of many seeds on both kernels; returns the number of observations. */
function compare(programs: number, run: (seed: number, world: World) => string[], full = false): number {
  using real = realWorld();
  using virtual = virtualWorld();
  const limited = (world: World): World => (full ? { ...world, withRoom: withRoom(world.files.get("f")!) } : world);
  let observations = 0;
  for (let seed = 1; seed <= programs; seed++) {
    const expected = run(seed, limited(real));
    const actual = run(seed, limited(virtual));
    assert.equal(actual, expected, `seed ${seed}`);
    observations += expected.length;
  }
  assert.ok(observations > 10 * programs, "the programs observe next to nothing");
  return observations;
}

const PROGRAMS = 400;
for (const type of ["stream", "dgram", "seqpacket"] as const) {
  test(`held-against-the-real-kernel: ${PROGRAMS} programs over a ${type} pair observe the same`, () =>
    void compare(PROGRAMS, (seed, world) => runProgram(type, seed, 40, world)));
}
for (const type of ["stream", "seqpacket"] as const) {
  test(`held-against-the-real-kernel: ${PROGRAMS} programs of ${type} listeners observe the same`, () =>
    void compare(PROGRAMS, (seed, world) => runConnections(type, seed, 60, world)));
}
test(`held-against-the-real-kernel: ${PROGRAMS} programs of named datagram sockets observe the same`, () =>
  void compare(PROGRAMS, (seed, world) => runDatagrams(seed, 60, world)));

if (role === "full-table") {
  // A process of its own, whose table is small enough to be filled.
  for (const type of ["stream", "dgram", "seqpacket"] as const)
    console.log(
      type,
      compare(100, (seed, world) => runProgram(type, seed, 40, world), true),
    );
  process.exit(0);
}

if (role === "unprivileged") {
  // Load the addon first: the unprivileged user may not be able to read it.
  for (const socket of UnixStream.pair()) socket.close();
  if (process.getuid!() === 0) {
    process.setgroups!([NOBODY_ELSE]);
    process.setgid!(NOBODY_ELSE);
    process.setuid!(NOBODY_ELSE);
  }
  for (const type of ["stream", "dgram", "seqpacket"] as const) {
    console.log(
      type,
      compare(100, (seed, world) => runProgram(type, seed, 40, world)),
      compare(1, (_, world) => {
        const seen = runUntilRefused(type, world);
        assert.match(seen.join("\n"), "ETOOMANYREFS");
        return seen;
      }),
    );
  }
  process.exit(0);
}

test.needing(
  ...NEEDS.unprivileged,
  "held-against-the-real-kernel: an unprivileged user: the credentials it may send, and its limit in flight",
  async () => {
    const script = `ulimit -n ${TABLE} && exec "$0" "$1"`;
    const { code, stdout, stderr } = await run("sh", ["-c", script, process.execPath, fileURLToPath(import.meta.url)], {
      env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: "unprivileged" },
    });
    assert.is(code, 0, stderr + stdout);
    assert.match(stdout, /^stream \d+ \d+\ndgram \d+ \d+\nseqpacket \d+ \d+$/m);
  },
);

test("held-against-the-real-kernel: receives with full and nearly full descriptor tables", async () => {
  const script = `ulimit -n ${TABLE} && exec "$0" "$1"`;
  const { code, stdout, stderr } = await run("sh", ["-c", script, process.execPath, fileURLToPath(import.meta.url)], {
    env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: "full-table" },
  });
  assert.is(code, 0, stderr + stdout);
  assert.match(stdout, /^stream \d+\ndgram \d+\nseqpacket \d+$/m);
});

test.run();
