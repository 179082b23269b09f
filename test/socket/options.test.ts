/** Socket options: by name, by number, and those that have methods of their own. */

import { execFileSync } from "node:child_process";
import {
  OwnedFd,
  recvmsg,
  SocketAncillary,
  sendmsg,
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
} from "unix-ancillary";
import { abis, Codec, hostAbiName } from "unix-ancillary/core";
import * as assert from "uvu/assert";
import { codeOf, errorOf, leakChecked, NEEDS, openFds, PAIRS, pair, run, socketPath } from "../support.ts";

const test = leakChecked("options");

const [takesNone, SO_PASSRIGHTS] = NEEDS.passRights;

test("setPassRights: an option that this kernel does not have is ENOPROTOOPT, and nothing changes", () => {
  if (takesNone) {
    console.log("SKIPPED: options, ENOPROTOOPT of setPassRights: this kernel has SO_PASSRIGHTS");
    return;
  }
  for (const [, make] of PAIRS) {
    const [a, b] = make();
    assert.throws(() => b.setPassRights(false), /SO_PASSRIGHTS/);
    a.sendFdsSync("x", [a]);
    b.recvFdsExactSync(1)[Symbol.dispose]();
    a.close();
    b.close();
  }
});

for (const [kind, make] of PAIRS) {
  test.needing(
    takesNone,
    SO_PASSRIGHTS,
    `setPassRights, ${kind}: EPERM at the sender, until it is on again`,
    async () => {
      const [a, b] = make();
      a.sendFdsSync("before", [a]);
      b.setPassRights(false);
      const error = (await errorOf(() => a.sendFdsSync("x", [a]))) as Error & { code?: string; syscall?: string };
      assert.is(error.code, "EPERM");
      assert.is(error.syscall, "sendmsg");
      assert.match(error.message, "the peer takes no descriptors");
      assert.match(error.message, "SO_PASSRIGHTS");
      assert.is(await codeOf(a.sendFds("x", [a])), "EPERM");
      assert.is(await codeOf(() => a.trySendFds("x", [a])), "EPERM");
      using out = new SocketAncillary(64);
      out.addFds([a]);
      assert.match((await errorOf(() => sendmsg(a, "x", out))).message, "the peer takes no descriptors");
      assert.is(a.sendFdsSync("bytes are fine"), 14);
      b.sendFdsSync("it may send them", [b]);
      a.recvFdsExactSync(1)[Symbol.dispose]();
      const first = b.recvFdsExactSync(1);
      assert.is(first.data.toString(), "before", "what was sent before arrives, and nothing of what was refused");
      first[Symbol.dispose]();
      assert.is(b.recvFdsSync(1).data.toString(), "bytes are fine");
      b.setPassRights(true);
      a.sendFdsSync("x", [a]);
      b.recvFdsExactSync(1)[Symbol.dispose]();
      a.close();
      b.close();
    },
  );
}

test.needing(takesNone, SO_PASSRIGHTS, "setPassRights: a receiver by its name refuses descriptors too", async () => {
  const bound = UnixDatagram.bind(socketPath());
  const sender = UnixDatagram.unbound();
  bound.setPassRights(false);
  const error = await errorOf(() => sender.sendFdsToSync("x", [sender], bound.address!));
  assert.match(error.message, "takes no descriptors");
  assert.is(sender.sendFdsToSync("x", [], bound.address!), 1);
  assert.is(bound.recvFdsSync(0).data.toString(), "x");
  bound.close();
  sender.close();
});

test.needing(
  takesNone,
  SO_PASSRIGHTS,
  "setPassRights of a listener: for new connections and for those that wait",
  async () => {
    for (const type of ["stream", "seqpacket"] as const) {
      const listener = UnixListener.bind(socketPath(), { type: type as "stream" });
      const connect = () => (type === "stream" ? UnixStream : UnixSeqpacket).connectSync(listener.address!);
      const waiting = connect();
      listener.setPassRights(false);
      const later = connect();
      // Its first message, before it is accepted.
      assert.is(await codeOf(() => later.sendFdsSync("x", [later])), "EPERM");
      const accepted = [await listener.accept(), await listener.accept()];
      for (const client of [waiting, later]) {
        assert.is(await codeOf(() => client.sendFdsSync("x", [client])), "EPERM");
        assert.is(client.sendFdsSync("y"), 1);
      }
      listener.setPassRights(true);
      const last = connect();
      const server = await listener.accept();
      last.sendFdsSync("x", [last]);
      (await server.recvFdsExact(1))[Symbol.dispose]();
      for (const one of [waiting, later, ...accepted, last, server, listener]) one.close();
    }
  },
);

test("an option of a listener that is off again is off for connections that wait", () => {
  const listener = UnixListener.bind(socketPath());
  listener.setPassCredentials(true);
  const client = UnixStream.connectSync(listener.address!);
  listener.setPassCredentials(false);
  const server = listener.acceptSync();
  client.sendFdsSync("x");
  assert.is(server.recvFdsSync(0).credentials, null);
  for (const one of [client, server, listener]) one.close();
});

const SEND = `
import errno, socket
s = socket.socket(fileno=3)
try:
  socket.send_fds(s, [b"x"], [0])
  print("sent")
except OSError as error:
  print(errno.errorcode[error.errno])
s.send(b"bytes")
`;

test.python("setPassRights: another program gets EPERM, and its bytes arrive", async () => {
  if (!takesNone) {
    console.log(`SKIPPED: options, another program gets EPERM: needs ${SO_PASSRIGHTS}`);
    return;
  }
  const [ours, theirs] = UnixStream.pair();
  ours.setPassRights(false);
  const { stdout } = await run("python3", ["-c", SEND], { stdio: ["ignore", "pipe", "inherit", theirs.fd] });
  assert.is(stdout, "EPERM\n");
  assert.is(ours.recvFdsSync(1).data.toString(), "bytes");
  ours.close();
  theirs.close();
});

test(
  "setPassRights: a value that is no boolean, and a closed socket",
  pair(async (a) => {
    for (const wrong of [undefined, 0, "false"])
      assert.instance(await errorOf(() => a.setPassRights(wrong as never)), TypeError);
    using owned = OwnedFd.from(a);
    const other = UnixStream.from(owned);
    other.close();
    assert.is(await codeOf(() => other.setPassRights(false)), "ERR_SOCKET_CLOSED");
  }),
);

const abi = abis[hostAbiName(process.platform, process.arch, "glibc")!];
const linux = abi.os === "linux";
const LEVEL = "SOL_SOCKET";

test("getOption: by name and by number, on every kind of socket", () => {
  const listener = UnixListener.bind(socketPath());
  const types = { stream: abi.SOCK_STREAM, seqpacket: abi.SOCK_SEQPACKET, datagram: abi.SOCK_DGRAM };
  for (const [kind, make] of PAIRS) {
    const [a, b] = make();
    for (const level of [LEVEL, abi.SOL_SOCKET] as const) {
      assert.is(a.getOption(level, "SO_TYPE"), types[kind]);
      assert.is(a.getOption(level, abi.SO_TYPE), types[kind]);
      assert.is(a.getOption(level, "SO_ACCEPTCONN"), 0);
      assert.is(listener.getOption(level, "SO_ACCEPTCONN"), 1);
    }
    a.close();
    b.close();
  }
  listener.setOption(LEVEL, "SO_RCVBUF", 10_000);
  assert.ok(listener.getOption(LEVEL, abi.SO_RCVBUF) >= 10_000);
  listener.close();
});

test("a datagram of 400,000 bytes: EMSGSIZE, and sent with a larger SO_SNDBUF", async () => {
  const [a, b] = UnixDatagram.pair();
  const bytes = Buffer.alloc(400_000, "x");
  a.setOption(LEVEL, "SO_SNDBUF", 100_000);
  assert.is(await codeOf(() => a.sendFdsSync(bytes, [a])), "EMSGSIZE");
  a.setOption(LEVEL, "SO_SNDBUF", 1_000_000);
  if (a.getOption(LEVEL, "SO_SNDBUF") < 1_000_000) {
    console.log("SKIPPED: options, a datagram of 400,000 bytes: net.core.wmem_max is smaller");
  } else {
    assert.is(a.sendFdsSync(bytes, [a]), bytes.length);
    const message = b.recvFdsExactSync(1, { bufferSize: bytes.length });
    assert.ok(message.data.equals(bytes));
    message[Symbol.dispose]();
  }
  a.close();
  b.close();
});

if (linux) {
  test(
    "buffers: read and set as bytes, wherever they are in memory; none is read as an int",
    pair(async (a) => {
      const { pid, uid, gid } = a.peerCredentials();
      const credentials = a.getOption(LEVEL, "SO_PEERCRED", 100);
      assert.equal([...new Uint32Array(Uint8Array.from(credentials).buffer)], [pid, uid, gid]);
      assert.is(a.getOption(LEVEL, "SO_PEERCRED", 5).length, 5);
      // SO_LINGER and SO_RCVTIMEO, on PowerPC 18.
      for (const name of ["SO_PEERCRED", 13, abi.SO_PASSCRED === 20 ? 18 : 20] as const) {
        const error = await errorOf(() => a.getOption(LEVEL, name));
        assert.instance(error, RangeError);
        assert.match(error.message, 'is no int, got "more than 4 bytes"');
      }
      class Lying extends Uint8Array {
        override get length(): number {
          return 1;
        }
      }
      for (const memory of [new Uint8Array(7), new Lying(7), new Uint8Array(new SharedArrayBuffer(7))]) {
        memory.set(new Uint8Array(Int32Array.of(20_000).buffer), 3);
        a.setOption(LEVEL, "SO_SNDBUF", memory.subarray(3));
        assert.is(a.getOption(LEVEL, "SO_SNDBUF"), 40_000, "Linux doubles it");
        a.setOption(LEVEL, "SO_SNDBUF", 30_000);
      }
      assert.is(await codeOf(() => a.setOption(LEVEL, "SO_SNDBUF", new Uint8Array(3))), "EINVAL");
    }),
  );

  test(
    "what getOption refuses: a new descriptor, and a length that is no number of bytes",
    pair(async (a) => {
      const before = openFds();
      for (const name of ["SO_PEERPIDFD", abi.SO_PEERPIDFD!, "SO_GET_FILTER", abi.SO_GET_FILTER!] as const) {
        for (const more of [[], [4], [100]] as const) {
          const error = await errorOf(() => (a.getOption as (...args: unknown[]) => unknown)(LEVEL, name, ...more));
          assert.instance(error, RangeError);
          assert.match(error.message, /peerPidfd\(\)|instructions/);
        }
      }
      assert.equal([...openFds()], [...before]);
      // At other levels the same numbers are other options.
      assert.is(
        await codeOf(() => a.getOption(6, abi.SO_PEERPIDFD!)),
        "ENOTSUP",
        "EOPNOTSUPP by the name that libuv gives it",
      );
      const structure = (await errorOf(() => a.setOption(LEVEL, 26, new Uint8Array(16)))) as { syscall?: string };
      assert.is(structure.syscall, "setsockopt", "to set a filter is the kernel's affair");
    }),
  );

  test("what setOption refuses: options that the library relies on; the message names the method", async () => {
    const sockets = [...UnixStream.pair(), ...UnixDatagram.pair(), UnixListener.bind(socketPath())];
    const methods = {
      SO_PASSCRED: "setPassCredentials()",
      SO_PASSPIDFD: "setPassPidfd()",
      SO_PASSSEC: "setPassSecurity()",
      SO_PASSRIGHTS: "setPassRights()",
      SO_PEEK_OFF: "peeks",
    } as const;
    for (const socket of sockets) {
      for (const [name, method] of Object.entries(methods) as [keyof typeof methods, string][]) {
        for (const given of [name, abi[name]!] as const) {
          for (const value of [1, new Uint8Array(4)]) {
            const error = await errorOf(() => socket.setOption(LEVEL, given, value));
            assert.instance(error, RangeError);
            assert.ok(error.message.includes(method), error.message);
          }
        }
      }
      assert.is(socket.getOption(LEVEL, "SO_PASSCRED"), 0);
      socket.setPassCredentials(true);
      assert.is(socket.getOption(LEVEL, "SO_PASSCRED"), 1, "but it can be read");
      socket.close();
    }
  });

  test(
    "errors of the kernel: with the option and the system call",
    pair(async (a) => {
      const error = (await errorOf(() => a.getOption(LEVEL, 9999))) as Error & { code?: string; syscall?: string };
      assert.equal([error.code, error.syscall], ["ENOPROTOOPT", "getsockopt"]);
      assert.match(error.message, "option 9999 of level 1");
      assert.is(await codeOf(() => a.setOption(LEVEL, 9999, 1)), "ENOPROTOOPT");
      assert.is(await codeOf(() => a.setOption(6, 1, 1)), "ENOTSUP", "EOPNOTSUPP by the name that libuv gives it");
      assert.match((await errorOf(() => a.setOption(LEVEL, "SO_TYPE", 1))).message, "SO_TYPE");
      for (const name of ["LOCAL_PEERCRED", "SO_NOSIGPIPE"] as const) {
        const level = name === "SO_NOSIGPIPE" ? LEVEL : "SOL_LOCAL";
        assert.is(await codeOf(() => a.getOption(level, name)), "ENOTSUP");
        assert.is(await codeOf(() => a.setOption(level, name, 1)), "ENOTSUP");
      }
    }),
  );
} else console.log("SKIPPED: options, what Linux says of options: this is not Linux");

test(
  "misuse: names, levels, sizes, values, a closed socket",
  pair(async (a, b) => {
    const get = (...args: unknown[]) => errorOf(() => (a.getOption as (...args: unknown[]) => unknown)(...args));
    const set = (...args: unknown[]) => errorOf(() => (a.setOption as (...args: unknown[]) => unknown)(...args));
    for (const ask of [get, set]) {
      for (const level of ["SOL_SOCKETS", "SO_TYPE", "toString", "__proto__"]) {
        const error = await ask(level, "SO_TYPE", 4);
        assert.instance(error, RangeError);
        assert.match(error.message, "SOL_SOCKET");
      }
      for (const name of ["SO_TYP", "SOL_SOCKET", "MSG_PEEK", "toString"]) {
        const error = await ask(LEVEL, name, 4);
        assert.instance(error, RangeError);
        assert.match(error.message, "SO_SNDBUF");
      }
      assert.match((await ask(abi.SOL_SOCKET + 5, "SO_TYPE", 4)).message, "SOL_SOCKET for SO_TYPE");
      for (const wrong of [undefined, null, {}, 1n, [1]]) {
        assert.instance(await ask(wrong, "SO_TYPE", 4), TypeError);
        assert.instance(await ask(LEVEL, wrong, 4), TypeError);
      }
      for (const wrong of [1.5, Number.NaN, 2 ** 31]) assert.instance(await ask(LEVEL, wrong, 4), RangeError);
    }
    for (const bytes of [0, -1, 1.5, 2 ** 20 + 1]) assert.instance(await get(LEVEL, "SO_TYPE", bytes), RangeError);
    for (const bytes of ["4", null]) assert.instance(await get(LEVEL, "SO_TYPE", bytes), TypeError);
    for (const value of [1.5, 2 ** 31, Number.NaN]) assert.instance(await set(LEVEL, "SO_SNDBUF", value), RangeError);
    for (const value of [undefined, true, "1", new Uint16Array(2), new DataView(new ArrayBuffer(4))])
      assert.instance(await set(LEVEL, "SO_SNDBUF", value), TypeError);
    assert.instance(await set(LEVEL, "SO_SNDBUF", new Uint8Array(2 ** 20 + 1)), RangeError);
    b.close();
    assert.is(await codeOf(() => b.getOption(LEVEL, "SO_TYPE")), "ERR_SOCKET_CLOSED");
    assert.is(await codeOf(() => b.setOption(LEVEL, "SO_SNDBUF", 1)), "ERR_SOCKET_CLOSED");
  }),
);

for (const [kind, make] of PAIRS) {
  // On Linux streams have no times: unix_stream_read_generic.
  if (kind === "stream" || !linux) continue;
  test(`timestamps, ${kind}: recvmsg has the time of the send, and no other receive is disturbed`, () => {
    const [a, b] = make();
    const room = Buffer.alloc(8);
    const bytes = new Codec(abi).space(abi.timestamps.find(({ type }) => type === abi.SO_TIMESTAMP)!.bytes);
    for (const name of ["SO_TIMESTAMP", "SO_TIMESTAMPNS"] as const) {
      b.setOption(LEVEL, name, 1);
      const before = Date.now();
      a.sendFdsSync("x", [a]);
      a.sendFdsSync("x");
      a.sendFdsSync("x");
      a.sendFdsSync("x", [a]);
      const after = Date.now();
      using into = new SocketAncillary(bytes + SocketAncillary.bufferSizeForRights(1));
      assert.is(recvmsg(b, room, into).ancillaryTruncated, false);
      const [time, rights, ...rest] = into.messages();
      assert.is(rest.length, 0);
      assert.ok(time?.kind === "timestamp" && rights?.kind === "rights");
      for (const fd of rights.fds) fd.close();
      const milliseconds = Number(time.seconds) * 1000 + time.nanoseconds / 1e6;
      assert.ok(milliseconds >= before - 1 && milliseconds <= after + 1, `${before} ${milliseconds} ${after}`);
      using exact = new SocketAncillary(bytes);
      assert.is(recvmsg(b, room, exact).ancillaryTruncated, false);
      assert.equal(
        [...exact.messages()].map((one) => one.kind),
        ["timestamp"],
      );
      using short = new SocketAncillary(bytes - 1);
      const result = recvmsg(b, room, short);
      assert.equal([result.ancillaryTruncated, result.reason, [...short.messages()]], [true, "control-space", []]);
      b.recvFdsExactSync(1)[Symbol.dispose]();
      b.setOption(LEVEL, name, 0);
    }
    a.close();
    b.close();
  });
}

test.needing(
  linux && process.getuid!() === 0,
  "Linux and root",
  "peerGroups: those of the peer when it connected, more than the first answer has room for",
  async () => {
    const listener = UnixListener.bind(socketPath());
    const groups = Array.from({ length: 3000 }, (_, i) => 70_000 + i);
    const script = `
import os, socket, sys
os.setgroups(range(70000, 73000))
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
os.setgroups([])
s.send(b"x")
`;
    const peer = run("python3", ["-c", script, listener.address!]);
    const server = await listener.accept();
    await server.recvFds(0);
    assert.equal(
      server.peerGroups().sort((a, b) => a - b),
      groups,
    );
    assert.is((await peer).code, 0);
    for (const one of [server, listener]) one.close();
  },
);

test(
  "peerGroups and peerSecurity: of this process; a label, or why there is none",
  pair(async (a) => {
    if (!linux) {
      assert.is(await codeOf(() => a.peerGroups()), "ENOTSUP");
      assert.is(await codeOf(() => a.peerSecurity()), "ENOTSUP");
      return;
    }
    // process.getgroups is empty on Bun and Deno.
    const own = execFileSync("id", ["-G"], { encoding: "utf8" }).trim().split(" ").map(Number);
    const groups = new Set([...a.peerGroups(), process.getegid!()]);
    assert.equal([...groups].sort(), [...new Set(own)].sort());
    let label = "";
    try {
      label = a.peerSecurity();
    } catch (error) {
      const { code, syscall, message } = error as Error & { code?: string; syscall?: string };
      assert.equal([code, syscall], ["ENOPROTOOPT", "getsockopt"]);
      assert.match(message, "SO_PEERSEC");
    }
    assert.not(label.endsWith("\0"));
  }),
);

test.run();
