/** The virtual kernel: what it is for, and that it does what the real one does. */

import { fstatSync, openSync } from "node:fs";
import { OwnedFd, UnixDatagram, UnixListener, UnixSeqpacket, UnixStream } from "unix-ancillary";
import type { AbiName } from "unix-ancillary/core";
import { type Call, VirtualKernel } from "unix-ancillary/testing";
import * as assert from "uvu/assert";
import { runProgram, type World } from "./kernel-programs.js";
import { codeOf, errorOf, fileWith, leakChecked } from "./support.js";

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

test("every-system: descriptors arrive, whatever the layout, the byte order and the rules", async () => {
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

test("same-seed-same-run: the order in which things happen follows from the seed", async () => {
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

test("what-it-finds: leaks, double closes, use after close, what a child would inherit, SIGPIPE", async () => {
  const found = (action: (kernel: VirtualKernel) => unknown): Promise<string> =>
    errorOf(async () => {
      const kernel = new VirtualKernel("darwin-arm64");
      await action(kernel);
      kernel.check();
    }).then((error) => error.message);

  let kept: unknown;
  assert.match(
    await found((kernel) => {
      kept = UnixStream.pair({ platform: kernel.process().platform });
    }),
    /leaked descriptor 3: stream/,
  );
  assert.ok(kept);
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
      UnixStream.pair({ platform: process.platform });
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
  on("sendmsg", { dies: parent });
  assert.is(await codeOf(client.sendFds("x", [file])), "EPIPE");
  kernel.fault = null;
  client.close();
  file.close();
  kernel.check();
});

test("time: passes when nothing else is left to do, and a wait for ever is an error", async () => {
  const kernel = new VirtualKernel("darwin-arm64", { bufferMessages: 1 });
  const process = kernel.process();
  const [a, b] = UnixDatagram.pair({ platform: process.platform });
  await a.sendFds("1");
  // ENOBUFS is asked again after a while: there is nothing to be told of.
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

test("seqpacket-on-darwin: there is none", async () => {
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
    nameOf: (fd) => inodes.get(fstatSync(fd.fd).ino) ?? "?",
    [Symbol.dispose]() {
      for (const file of files.values()) file.close();
    },
  };
}

/** The virtual one, with a process of the same user. */
function virtualWorld(): World & Disposable {
  const kernel = new VirtualKernel("linux-x86_64-glibc", { bufferBytes: 1 << 20, bufferMessages: 11 });
  const own = kernel.process({ uid: process.getuid!(), gid: process.getgid!() });
  const files = new Map(["f", "g", "h"].map((name) => [name, own.open(name)] as const));
  return {
    platform: own.platform,
    files,
    pid: own.pid,
    nameOf: (fd) => own.nameOf(fd.fd) ?? "?",
    [Symbol.dispose]() {
      for (const file of files.values()) file.close();
      kernel.check();
    },
  };
}

const PROGRAMS = 700;
for (const type of ["stream", "dgram", "seqpacket"] as const) {
  test(`held-against-the-real-kernel: ${PROGRAMS} programs over a ${type} pair observe the same`, () => {
    using real = realWorld();
    using virtual = virtualWorld();
    let observations = 0;
    for (let seed = 1; seed <= PROGRAMS; seed++) {
      const expected = runProgram(type, seed, 40, real);
      const actual = runProgram(type, seed, 40, virtual);
      assert.equal(actual, expected, `seed ${seed}`);
      observations += expected.length;
    }
    assert.ok(observations > 10 * PROGRAMS);
  });
}

test.run();
