/** Streams within one process: what can be passed, how many, and what is refused. */

import { readFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { type AncillaryError, OwnedFd, UnixStream } from "unix-ancillary";
import * as assert from "uvu/assert";
import { closeSync, fstatSync, openSync } from "../descriptors.ts";
import { codeOf, errorOf, fileWith, leakChecked, NEEDS, pair } from "../support.ts";

const test = leakChecked("pass-fds");

/** Descriptors of one file, each with its own open file description. */
function openMany(count: number): OwnedFd[] {
  const path = fileWith("many");
  return Array.from({ length: count }, () => OwnedFd.fromRaw(openSync(path, "r")));
}

for (const count of [0, 1, 2, 3, 252, 253]) {
  test(
    `${count} descriptors arrive in order, with the file they were`,
    pair(async (a, b) => {
      const sent = openMany(count);
      const inodes = sent.map(({ fd }) => fstatSync(fd).ino);
      a.sendFdsSync("data", sent);
      const sync = b.recvFdsSync(253);
      assert.is(sync.data.toString(), "data");
      assert.is(sync.fds.length, count);
      assert.is(sync.surplus, 0);
      assert.equal(
        sync.fds.map(({ fd }) => fstatSync(fd).ino),
        inodes,
      );
      sync[Symbol.dispose]();
      assert.ok(sync.fds.every(({ closed }) => closed));
      const waiting = b.recvFds(253);
      await a.sendFds("data", sent);
      const async = await waiting;
      assert.is(async.fds.length, count);
      async[Symbol.dispose]();
      for (const fd of sent) fd.close();
    }),
  );
}

test(
  "254 descriptors are refused before anything is sent",
  pair(async (a, b) => {
    const fds = new Array(254).fill(0);
    const error = await errorOf(() => a.sendFdsSync("x", fds));
    assert.instance(error, RangeError);
    assert.is((error as { code?: string }).code, "ERR_TOO_MANY_FDS");
    assert.match(error.message, "at most 253");
    assert.match(error.message, "254");
    assert.is(await codeOf(a.sendFds("x", fds)), "ERR_TOO_MANY_FDS");
    assert.is(b.tryRecvFds(1), null);
  }),
);

for (const [limit, sent] of [
  [0, 1],
  [1, 2],
  [1, 3],
  [2, 5],
  [252, 253],
] as const) {
  test(
    `surplus-${sent}-of-${limit}: room for few may deliver more, all others are closed and counted`,
    pair((a, b) => {
      const fds = openMany(sent);
      a.sendFdsSync("x", fds);
      const message = b.recvFdsSync(limit);
      assert.is(message.fds.length, limit);
      assert.is(message.surplus, sent - limit);
      message[Symbol.dispose]();
      for (const fd of fds) fd.close();
    }),
  );
}

test(
  "received descriptors are CLOEXEC",
  pair((a, b) => {
    a.sendFdsSync("x", [0]);
    const [fd] = b.recvFdsSync(1).fds;
    const flags = /flags:\s+0?(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd!.fd}`, "utf8"))![1]!;
    assert.ok((Number.parseInt(flags, 8) & 0o2000000) !== 0, "O_CLOEXEC");
    fd!.close();
  }),
);

test(
  "fds-without-bytes are refused, not dropped",
  pair(async (a, b) => {
    for (const empty of ["", new Uint8Array(0), [new Uint8Array(0), new Uint8Array(0)], []]) {
      assert.is(await codeOf(() => a.sendFdsSync(empty, [0])), "ERR_EMPTY_PAYLOAD");
      assert.is(await codeOf(a.sendFds(empty, [0])), "ERR_EMPTY_PAYLOAD");
      assert.is(await codeOf(a.sendFdsAll(empty, [0])), "ERR_EMPTY_PAYLOAD");
      assert.is(await codeOf(() => a.trySendFds(empty, [0])), "ERR_EMPTY_PAYLOAD");
    }
    assert.is(b.tryRecvFds(1), null);
  }),
);

test(
  "an empty payload without descriptors is refused",
  pair(async (a, b) => {
    assert.is(a.sendFdsSync(""), 0);
    await a.sendFdsAll("");
    assert.is(b.tryRecvFds(1), null);
  }),
);

test(
  "a list is one message, a string is UTF-8",
  pair((a, b) => {
    a.sendFdsSync([Buffer.from("one "), new Uint8Array(0), Buffer.from("two")], [0]);
    const message = b.recvFdsSync(1);
    assert.is(message.data.toString(), "one two");
    message[Symbol.dispose]();
    a.sendFdsSync("\u00e9\u{1f600}");
    assert.is(b.recvFdsSync(0).data.toString(), "\u00e9\u{1f600}");
  }),
);

test(
  "bytes are never shared between messages",
  pair((a, b) => {
    const kept = [];
    for (let i = 0; i < 2000; i++) {
      a.sendFdsSync(`message ${i}`);
      kept.push(b.recvFdsSync(0).data);
    }
    for (const [i, data] of kept.entries()) assert.is(data.toString(), `message ${i}`);
  }),
);

test(
  "recvFdsInto fills one buffer, or several",
  pair(async (a, b) => {
    const one = new Uint8Array(8);
    a.sendFdsSync("12345", [0]);
    const into = b.recvFdsIntoSync(one, 1);
    assert.is(into.bytesRead, 5);
    assert.is(Buffer.from(one).toString("latin1"), "12345\0\0\0");
    into[Symbol.dispose]();
    const parts = [new Uint8Array(2), new Uint8Array(0), new Uint8Array(4)];
    const waiting = b.recvFdsInto(parts, 1);
    await a.sendFds("abcdef", [0]);
    const message = await waiting;
    assert.is(message.bytesRead, 6);
    assert.is(Buffer.concat(parts).toString(), "abcdef");
    message[Symbol.dispose]();
  }),
);

test(
  "a receive into zero bytes is refused: it would discard the descriptors",
  pair(async (a, b) => {
    a.sendFdsSync("x", [0]);
    for (const empty of [new Uint8Array(0), [], [new Uint8Array(0)]]) {
      assert.instance(await errorOf(() => b.recvFdsIntoSync(empty, 1)), RangeError);
      assert.instance(await errorOf(b.recvFdsInto(empty, 1)), RangeError);
    }
    const message = b.recvFdsSync(1);
    assert.is(message.fds.length, 1);
    message[Symbol.dispose]();
  }),
);

test(
  "recvFdsExact closes the descriptors of a wrong count, keeps the bytes and the socket",
  pair(async (a, b) => {
    for (const sent of [0, 1, 3]) {
      a.sendFdsSync("bytes", new Array(sent).fill(0));
      const error = (await errorOf(() => b.recvFdsExactSync(2))) as AncillaryError;
      assert.is(error.code, "ERR_FD_COUNT");
      assert.match(error.message, `exactly 2 descriptors, got ${sent}`);
      assert.is(Buffer.from(error.data!).toString(), "bytes");
    }
    const waiting = b.recvFdsExact(2);
    a.sendFdsSync("x", [0, 0]);
    const message = await waiting;
    assert.is(message.fds.length, 2);
    assert.is(message.streamOffset, 15, "bytes of refused receives count");
    message[Symbol.dispose]();
  }),
);

test(
  "invalid descriptors: EBADF, ERR_FD_CLOSED, TypeError, and nothing is sent",
  pair(async (a, b) => {
    const closed = OwnedFd.from(0);
    closed.close();
    const handle = await open("/dev/null");
    await handle.close();
    const high = openSync("/dev/null", "r");
    closeSync(high);
    assert.is(await codeOf(() => a.sendFdsSync("x", [high])), "EBADF");
    assert.is(await codeOf(a.sendFds("x", [0, high])), "EBADF");
    assert.is(await codeOf(() => a.sendFdsSync("x", [closed])), "ERR_FD_CLOSED");
    assert.is(await codeOf(a.sendFds("x", [0, closed])), "ERR_FD_CLOSED");
    assert.is(await codeOf(a.sendFds("x", [handle])), "ERR_FD_CLOSED");
    for (const wrong of ["0", null, undefined, {}, { fd: "0" }, Symbol("fd"), true]) {
      assert.instance(await errorOf(() => a.sendFdsSync("x", [wrong as never])), TypeError, String(wrong));
    }
    for (const wrong of [-1, 1.5, Number.NaN, 2 ** 31]) {
      assert.instance(await errorOf(() => a.sendFdsSync("x", [wrong])), RangeError, String(wrong));
    }
    assert.instance(await errorOf(() => a.sendFdsSync("x", 0 as never)), TypeError);
    assert.is(b.tryRecvFds(1), null);
  }),
);

test(
  "descriptor 0 is a descriptor",
  pair((a, b) => {
    a.sendFdsSync("x", [0]);
    const [fd] = b.recvFdsExactSync(1).fds;
    assert.is(fstatSync(fd!.fd).ino, fstatSync(0).ino);
    fd!.close();
  }),
);

test(
  "every object with a descriptor can be sent: FileHandle, streams, servers, sockets",
  pair(async (a, b) => {
    const handle = await open("/dev/null");
    const server: Server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { createSocket } = await import("node:dgram");
    const datagrams = createSocket("udp4");
    await new Promise<void>((resolve) => datagrams.bind(0, "127.0.0.1", resolve));
    const owned = OwnedFd.from(0);
    const sources = [handle, server, datagrams, owned, a];
    a.sendFdsSync("x", sources);
    const { fds } = b.recvFdsExactSync(sources.length);
    const descriptions = fds.map((fd) => fd.describe());
    assert.is(descriptions[0]!.kind, "character-device");
    assert.is(descriptions[1]!.socket?.listening, true);
    assert.equal(descriptions[1]!.socket?.address, {
      address: "127.0.0.1",
      port: (server.address() as { port: number }).port,
    });
    assert.is(descriptions[2]!.socket?.type, "dgram");
    assert.is(descriptions[4]!.socket?.family, "unix");
    for (const fd of fds) fd.close();
    owned.close();
    await handle.close();
    await new Promise<void>((resolve) => datagrams.close(resolve));
    await new Promise((resolve) => server.close(resolve));
  }),
);

test(
  "a getter that sends does not mix the messages",
  pair((a, b) => {
    const [c, d] = UnixStream.pair();
    const file = openSync(fileWith("inner"), "r");
    const sneaky = {
      get fd(): number {
        c.sendFdsSync("inner", [file, file, file]);
        return 0;
      },
    };
    a.sendFdsSync("outer", [1, sneaky]);
    const outer = b.recvFdsExactSync(2);
    assert.equal(
      outer.fds.map(({ fd }) => fstatSync(fd).ino),
      [fstatSync(1).ino, fstatSync(0).ino],
    );
    outer[Symbol.dispose]();
    c.close();
    // At most twice: once to check, once to send.
    for (;;) {
      const inner = d.recvFdsSync(3);
      if (inner.eof) break;
      assert.ok(inner.fds.every(({ fd }) => fstatSync(fd).ino === fstatSync(file).ino));
      inner[Symbol.dispose]();
    }
    d.close();
    closeSync(file);
  }),
);

test(
  "misspelled options, wrong types and wrong ranges are refused",
  pair(async (a, b) => {
    const wrong: [() => unknown, typeof TypeError | typeof RangeError, string][] = [
      [() => b.recvFdsSync(1, { bufersize: 3 } as never), TypeError, "bufferSize"],
      [() => b.recvFdsSync(1, { signal: AbortSignal.abort() } as never), TypeError, "timeout"],
      [() => b.recvFdsSync(1, { bufferSize: 0 }), RangeError, "from 1"],
      [() => b.recvFdsSync(1, { timeout: -1 }), RangeError, "at least 0"],
      [() => b.recvFdsSync(1, { timeout: Number.NaN }), RangeError, "at least 0"],
      [() => b.recvFdsSync(1, { timeout: "1" as never }), TypeError, "milliseconds"],
      [() => b.recvFdsSync(-1), RangeError, "from 0"],
      [() => b.recvFdsSync("1" as never), TypeError, "integer"],
      [() => b.recvFdsSync(undefined as never), TypeError, "integer"],
      [() => b.recvFdsSync(1, null as never), TypeError, "object"],
      [() => a.sendFdsSync(1 as never), TypeError, "Uint8Array"],
      [() => a.sendFdsSync(["x"] as never), TypeError, "data[0]"],
      [() => a.sendFdsSync("x", [], { timeOut: 1 } as never), TypeError, "timeout"],
      [() => a.shutdown("reading" as never), RangeError, "write"],
      [() => OwnedFd.fromRaw(-1), RangeError, "from 0"],
      [() => UnixStream.from({} as never), TypeError, "OwnedFd"],
    ];
    for (const [action, kind, text] of wrong) {
      const error = await errorOf(action);
      assert.instance(error, kind, action.toString());
      assert.match(error.message, text);
    }
    // Asynchronous methods reject, and never throw.
    assert.instance(await errorOf(b.recvFds(1, { timeout: 1 } as never)), TypeError);
    assert.instance(await errorOf(b.recvFds(-1)), RangeError);
    assert.instance(await errorOf(a.sendFds(1 as never)), TypeError);
    assert.instance(await errorOf(b.recvFds(1, { signal: {} as never })), TypeError);
  }),
);

test(
  "a number beyond 31 bits does not become another descriptor",
  pair(async (a, b) => {
    const wrong = { fd: 2 ** 32 };
    assert.instance(await errorOf(() => a.sendFdsSync("x", [wrong])), TypeError);
    assert.instance(await errorOf(() => OwnedFd.from(wrong)), TypeError);
    assert.is(b.tryRecvFds(1), null);
  }),
);

test(
  "objects without an open descriptor: ERR_FD_CLOSED",
  pair(async (a) => {
    const { createSocket } = await import("node:dgram");
    const unbound = createSocket("udp4");
    for (const closed of [unbound, Object.assign(Object.create(null), { fd: null })]) {
      assert.is(await codeOf(() => a.sendFdsSync("x", [closed])), "ERR_FD_CLOSED");
    }
    await new Promise<void>((resolve) => unbound.close(resolve));
  }),
);

test(
  "bytes of another realm are accepted; objects that only look like bytes are refused",
  pair(async (a, b) => {
    const { runInNewContext } = await import("node:vm");
    const other = runInNewContext("[Uint8Array.of(1, 2, 3)]");
    assert.is(a.sendFdsSync(other[0], [0]), 3);
    assert.is(a.sendFdsSync(other, [0]), 3);
    b.recvFdsIntoSync(other, 1)[Symbol.dispose]();
    b.recvFdsIntoSync(other[0], 1)[Symbol.dispose]();
    // The addon finds no bytes in a proxy: sent descriptors would be dropped, and a receive would look like the end.
    const proxy = new Proxy(new Uint8Array(3), { get: (target, name) => target[name as never] });
    for (const wrong of [proxy, [proxy], Object.create(Uint8Array.prototype)]) {
      assert.instance(await errorOf(() => a.sendFdsSync(wrong, [0])), TypeError);
      assert.instance(await errorOf(() => b.recvFdsIntoSync(wrong, 1)), TypeError);
    }
    assert.is(b.tryRecvFds(1), null);
  }),
);

test(
  "inherited options are checked like own ones",
  pair(async (a, b) => {
    a.sendFdsSync("x", [0]);
    const inheriting = (options: object) => Object.create(options);
    assert.instance(await errorOf(() => b.recvFdsSync(1, inheriting({ timeout: "1" }))), TypeError);
    // A receive into zero bytes would deliver descriptors, and look like the end.
    assert.instance(await errorOf(() => b.tryRecvFds(1, inheriting({ bufferSize: 0 }))), RangeError);
    b.recvFdsSync(1, inheriting({ bufferSize: 1 }))[Symbol.dispose]();
  }),
);

test(
  "a list of more buffers than a call takes is sent whole, and filled whole",
  pair((a, b) => {
    const pieces = Array.from({ length: 3000 }, (_, i) => Uint8Array.of(i));
    a.sendFdsSync(pieces, [0]);
    const into = [new Uint8Array(0), ...Array.from({ length: 1501 }, () => new Uint8Array(2))];
    const message = b.recvFdsIntoSync(into, 1);
    assert.equal([message.bytesRead, message.fds.length], [3000, 1]);
    assert.equal(Buffer.concat(into, 3000), Buffer.concat(pieces));
    message[Symbol.dispose]();
  }),
);

test.needing(
  ...NEEDS.largeArrays,
  "4 GiB: a length beyond 32 bits is treated neither as no bytes nor as no room",
  pair((a, b) => {
    const huge = new Uint8Array(2 ** 32);
    const sent = a.sendFdsSync(huge, [0]);
    assert.ok(sent > 0, String(sent));
    const message = b.recvFdsIntoSync(huge, 1);
    // One receive takes the contents of one kernel buffer.
    assert.ok(message.bytesRead > 0);
    assert.is(message.fds.length, 1);
    message[Symbol.dispose]();
  }),
);

/** Four gigabytes that are never touched: the length is 0 in 32 bits. */
const HUGE = 2 ** 32;

test.needing(
  ...NEEDS.largeArrays,
  "length-truncated-to-32-bits: with more bytes than one call can send, no descriptor is lost and the send makes progress",
  pair((a, b) => {
    const huge = new Uint8Array(HUGE);
    const { system, sendFlags } = a.platform;
    for (const payload of [huge, [huge]]) {
      assert.ok(a.sendFdsSync(payload, [0], { timeout: 0 }) > 0);
      const received = b.recvFdsIntoSync(payload, 1);
      assert.ok(received.bytesRead > 0);
      assert.is(received.fds.length, 1);
      received[Symbol.dispose]();
      while (b.tryRecvFds(0, { bufferSize: 65536 }) !== null);
      // The rest, after nearly all bytes are sent.
      huge[HUGE - 2] = 7;
      assert.is(system.sendmsg(a.fd, payload, HUGE - 2, 2, 0, sendFlags, null), 2);
      assert.equal([...b.recvFdsSync(0).data], [7, 0]);
    }
  }),
);

test.run();
