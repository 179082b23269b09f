/** The low-level API: SocketAncillary, sendmsg and recvmsg. */

import { spawnSync } from "node:child_process";
import { createConnection, createServer } from "node:net";
import {
  type AncillaryData,
  OwnedFd,
  recvmsg,
  SocketAncillary,
  sendmsg,
  UnixDatagram,
  UnixSeqpacket,
  UnixStream,
} from "unix-ancillary";
import { abis, Codec, hostAbiName } from "unix-ancillary/core";
import * as assert from "uvu/assert";
import { closeSync, fstatSync, openSync, readSync } from "../descriptors.ts";
import { codeOf, errorOf, fileWith, leakChecked, openFds, pair, socketPath } from "../support.ts";

const test = leakChecked("ancillary");

const abi = abis[hostAbiName(process.platform, process.arch, "glibc")!];

/** Room for every control message that can arrive. */
const space = (fds = 8): SocketAncillary =>
  new SocketAncillary(SocketAncillary.bufferSizeForRights(fds) + 2 * SocketAncillary.bufferSizeForCredentials() + 64);

function withFile(body: (fd: number, content: string) => unknown): Promise<void> {
  const fd = openSync(fileWith("passed"), "r");
  return Promise.resolve()
    .then(() => body(fd, "passed"))
    .then(
      () => closeSync(fd),
      (error) => {
        closeSync(fd);
        throw error;
      },
    );
}

function closeMessages(ancillary: SocketAncillary): AncillaryData[] {
  const messages = [...ancillary.messages()];
  for (const one of messages) {
    if (one.kind === "rights") for (const fd of one.fds) fd.close();
    if (one.kind === "pidfd") one.pidfd.close();
  }
  return messages;
}

const room = Buffer.alloc(64);

test(
  "round-trip: descriptors added in two calls arrive as one message, owned and CLOEXEC",
  pair((a, b) =>
    withFile((fd, content) => {
      using out = space();
      using into = space();
      out.addFds([fd]);
      out.addFds([fd, fd]);
      assert.is(out.length, SocketAncillary.bufferSizeForRights(3));
      assert.is(sendmsg(a, "data", out), 4);
      const result = recvmsg(b, room, into);
      assert.equal(result, { bytesRead: 4, ancillaryTruncated: false, dataTruncated: false, address: null });
      assert.is(room.toString("latin1", 0, 4), "data");
      const [message, ...others] = into.messages();
      assert.is(others.length, 0);
      assert.ok(message?.kind === "rights");
      assert.is(message.fds.length, 3);
      const read = Buffer.alloc(16);
      assert.is(readSync(message.fds[2]!.fd, read), content.length);
      // Not inherited by a child.
      const child = spawnSync("sh", ["-c", "cd /proc/self/fd; ls"], { stdio: ["ignore", "pipe", "inherit"] });
      const inherited = child.stdout.toString().split("\n");
      for (const owned of message.fds) assert.not.ok(inherited.includes(String(owned.fd)));
      for (const owned of message.fds) owned.close();
    }),
  ),
);

test(
  "drained-once: descriptors not taken are closed by leaving early, clearing, reuse and disposal",
  pair((a, b) =>
    withFile((fd) => {
      using out = space();
      out.addFds([fd, fd]);
      const into = space();
      const before = openFds().size;
      const receive = () => {
        sendmsg(a, "x", out);
        recvmsg(b, room, into);
      };
      receive();
      for (const _ of into.messages()) {
        for (const owned of (_ as { fds: OwnedFd[] }).fds) owned.close();
        break;
      }
      assert.equal([...into.messages()], []);
      receive();
      into.clear();
      assert.is(openFds().size, before);
      receive();
      receive();
      assert.is(openFds().size, before + 2);
      into[Symbol.dispose]();
      assert.is(openFds().size, before);
    }),
  ),
);

test(
  "left-early: the descriptors of later messages are closed",
  pair((a, b) =>
    withFile((fd) => {
      b.setPassCredentials(true);
      using out = space();
      using into = space();
      out.addFds([fd]);
      sendmsg(a, "x", out);
      const before = openFds().size;
      recvmsg(b, room, into);
      assert.is(openFds().size, before + 1);
      for (const message of into.messages()) {
        assert.is(message.kind, "credentials");
        break;
      }
      assert.is(openFds().size, before);
    }),
  ),
);

test(
  "received-is-not-sent: a received buffer cannot be sent until cleared; a buffer filled to send yields nothing",
  pair((a, b) =>
    withFile(async (fd) => {
      using buffer = space();
      buffer.addFds([fd]);
      assert.equal([...buffer.messages()], []);
      sendmsg(a, "x", buffer);
      recvmsg(b, room, buffer);
      assert.is(await codeOf(() => sendmsg(a, "x", buffer)), "ERR_ANCILLARY_RECEIVED");
      assert.is(await codeOf(() => buffer.addFds([fd])), "ERR_ANCILLARY_RECEIVED");
      buffer.clear();
      assert.is(buffer.length, 0);
      buffer.addFds([fd]);
      assert.is(sendmsg(a, "x", buffer), 1);
    }),
  ),
);

test(
  "too-small: descriptors that do not fit, or have no buffer, are closed and reported",
  pair((a, b) =>
    withFile((fd) => {
      using out = space(16);
      out.addFds([fd, fd, fd, fd, fd]);
      const before = openFds().size;
      sendmsg(a, "x", out);
      assert.is(recvmsg(b, room).ancillaryTruncated, true);
      sendmsg(a, "x", out);
      assert.is(recvmsg(b, room, null).ancillaryTruncated, true);
      assert.is(openFds().size, before);
      for (const fds of [0, 1, 3, 4]) {
        const into = new SocketAncillary(SocketAncillary.bufferSizeForRights(fds));
        sendmsg(a, "x", out);
        assert.is(recvmsg(b, room, into).ancillaryTruncated, true);
        assert.is(into.truncated, true);
        const messages = closeMessages(into);
        const came = messages[0]?.kind === "rights" ? messages[0].fds.length : 0;
        // Alignment may leave room for one more descriptor.
        assert.ok(came >= fds && came <= fds + 1, `${came} of ${fds}`);
        assert.is(openFds().size, before);
      }
      const none = new SocketAncillary(0);
      sendmsg(a, "x", out);
      assert.is(recvmsg(b, room, none).ancillaryTruncated, true);
      assert.is(openFds().size, before);
    }),
  ),
);

test("no-room-to-add: refused, and the messages added before stay", () =>
  withFile(async (fd) => {
    using buffer = new SocketAncillary(SocketAncillary.bufferSizeForRights(2));
    buffer.addFds([fd]);
    assert.is(await codeOf(() => buffer.addFds([fd, fd, fd])), "ERR_BUFFER_TOO_SMALL");
    assert.is(
      await codeOf(() => buffer.addMessage({ level: 1, type: 77, data: new Uint8Array(8) })),
      "ERR_BUFFER_TOO_SMALL",
    );
    assert.is(buffer.length, SocketAncillary.bufferSizeForRights(1));
    const [a, b] = UnixStream.pair();
    sendmsg(a, "x", buffer);
    assert.is(b.recvFdsSync(0).surplus, 1, "what was refused is not sent");
    a.close();
    b.close();
    buffer.clear();
    buffer.addFds([]);
    assert.is(buffer.length, 0, "no descriptors are no message");
    using large = space(1000);
    const many = Array.from({ length: abi.maxFdsPerMessage + 1 }, () => fd);
    assert.is(await codeOf(() => large.addFds(many)), "ERR_TOO_MANY_FDS");
    large.addFds(many.slice(1));
    assert.is(await codeOf(() => large.addFds([fd])), "ERR_TOO_MANY_FDS");
  }));

test(
  "closed-before-the-send: the number is read at the send",
  pair((a) =>
    withFile(async (fd) => {
      using out = space();
      const owned = OwnedFd.from(fd);
      out.addFds([owned]);
      owned.close();
      assert.is(await codeOf(() => sendmsg(a, "x", out)), "ERR_FD_CLOSED");
      assert.is(await codeOf(() => out.addFds([owned])), "ERR_FD_CLOSED");
    }),
  ),
);

test(
  "memory-of-the-caller: at any offset, with the received bytes",
  pair((a, b) =>
    withFile((fd) => {
      const memory = new Uint8Array(257);
      const bytes = memory.subarray(1, 101);
      using out = new SocketAncillary(bytes);
      out.addFds([fd]);
      assert.is(out.capacity, 100);
      sendmsg(a, "x", out);
      const codec = new Codec(abi);
      assert.equal(codec.fdsOf(codec.decode(bytes.subarray(0, out.length)).messages[0]!), [fd]);
      using into = new SocketAncillary(memory.subarray(103, 203));
      recvmsg(b, room, into);
      const [message] = into.messages();
      assert.ok(message?.kind === "rights");
      assert.equal(codec.fdsOf(codec.decode(memory.subarray(103, 103 + into.length)).messages[0]!), [
        message.fds[0]!.fd,
      ]);
      assert.is(memory[0], 0);
      assert.is(memory[102], 0);
      message.fds[0]!.close();
    }),
  ),
);

test(
  "credentials: as the kernel wrote them, also at the end of the stream",
  pair((a, b) => {
    b.setPassCredentials(true);
    using out = space();
    using into = space();
    out.addCredentials({ pid: process.pid, uid: process.getuid!(), gid: process.getgid!() });
    sendmsg(a, "x", out);
    recvmsg(b, room, into);
    assert.equal(
      [...into.messages()],
      [{ kind: "credentials", credentials: { pid: process.pid, uid: process.getuid!(), gid: process.getgid!() } }],
    );
    a.close();
    assert.is(recvmsg(b, room, into).bytesRead, 0);
    // At the end they are zeros, which look like root: the low-level API returns them unchanged.
    assert.equal([...into.messages()], [{ kind: "credentials", credentials: { pid: 0, uid: 0, gid: 0 } }]);
  }),
);

test(
  "pidfd-not-taken: closed with the buffer",
  pair((a, b) => {
    try {
      b.setPassPidfd(true);
    } catch (error) {
      console.log(`SKIPPED: ancillary, pidfd-nobody-took: ${(error as Error).message}`);
      return;
    }
    using into = space();
    sendmsg(a, "x");
    const before = openFds().size;
    recvmsg(b, room, into);
    assert.is(openFds().size, before + 1);
    into.clear();
    sendmsg(a, "x");
    recvmsg(b, room);
    assert.is(openFds().size, before);
  }),
);

test("timestamp-and-unknown: no message is dropped", async () => {
  const [a, b] = UnixDatagram.pair();
  try {
    using out = space();
    // The kernel ignores other levels: the message is accepted, and does not arrive.
    out.addMessage({ level: 41, type: 7, data: new Uint8Array(3) });
    assert.is(sendmsg(a, "x", out), 1);
    using into = space();
    recvmsg(b, room, into);
    assert.equal([...into.messages()], []);
    out.clear();
    // SCM_RIGHTS added by its level and type are descriptors, too.
    await withFile((fd) => {
      out.addMessage({ level: abi.SOL_SOCKET, type: abi.SCM_RIGHTS, data: new Uint8Array(Int32Array.of(fd).buffer) });
      out.addFds([fd]);
      sendmsg(a, "x", out);
      recvmsg(b, room, into);
      const [message] = closeMessages(into);
      assert.ok(message?.kind === "rights" && message.fds.length === 2);
    });
    const odd = { level: abi.SOL_SOCKET, type: abi.SCM_RIGHTS, data: new Uint8Array(5) };
    assert.is(await codeOf(() => out.addMessage(odd)), "ERR_OUT_OF_RANGE");
  } finally {
    a.close();
    b.close();
  }
});

test(
  "no-bytes: descriptors on a stream need a byte, and so does a receive",
  pair((a, b) =>
    withFile(async (fd) => {
      using out = space();
      out.addFds([fd]);
      assert.is(await codeOf(() => sendmsg(a, "", out)), "ERR_EMPTY_PAYLOAD");
      sendmsg(a, "x", out);
      const before = openFds().size;
      const error = await errorOf(() => recvmsg(b, new Uint8Array(0), null));
      assert.instance(error, RangeError);
      assert.is(openFds().size, before);
      using into = space();
      assert.is(recvmsg(b, [new Uint8Array(0), room], into).bytesRead, 1);
      assert.is(closeMessages(into).length, 1);
      const [c, d] = UnixSeqpacket.pair();
      sendmsg(c, "", out);
      assert.is(recvmsg(d, new Uint8Array(0), into).bytesRead, 0);
      assert.is(closeMessages(into).length, 1);
      c.close();
      d.close();
    }),
  ),
);

test(
  "peek: refused with a control buffer, allowed without",
  pair((a, b) =>
    withFile(async (fd) => {
      using out = space();
      using into = space();
      out.addFds([fd]);
      sendmsg(a, "xyz", out);
      const before = openFds().size;
      const flags = abi.MSG_PEEK;
      assert.is(await codeOf(() => recvmsg(b, room, into, { flags })), "ERR_OUT_OF_RANGE");
      for (let i = 0; i < 3; i++) assert.is(recvmsg(b, room, null, { flags }).bytesRead, 3);
      assert.is(openFds().size, before);
      assert.is(await codeOf(() => recvmsg(b, room, into, { flags: abi.MSG_TRUNC })), "ERR_OUT_OF_RANGE");
      recvmsg(b, room, into);
      assert.is(closeMessages(into).length, 1);
    }),
  ),
);

test(
  "wait: EAGAIN at once without a timeout, ETIMEDOUT with one",
  pair(async (a, b) => {
    assert.is(await codeOf(() => recvmsg(b, room)), "EAGAIN");
    assert.is(await codeOf(() => recvmsg(b, room, null, { wait: true, timeout: 10 })), "ETIMEDOUT");
    assert.is(await codeOf(() => recvmsg(b, room, null, { timeout: 10 })), "ERR_OUT_OF_RANGE");
    const full = Buffer.alloc(65536);
    const filled = await errorOf(() => {
      for (;;) sendmsg(a, full);
    });
    assert.is((filled as { code?: string }).code, "EAGAIN");
    assert.is(await codeOf(() => sendmsg(a, full, null, { wait: true, timeout: 10 })), "ETIMEDOUT");
    assert.is(await codeOf(() => sendmsg(a, "", null, { typo: 1 } as object)), "ERR_INVALID_ARG_VALUE");
  }),
);

test("address: of the sender of a datagram, and of its receiver", () =>
  withFile((fd) => {
    const receiver = UnixDatagram.bind(socketPath());
    const sender = UnixDatagram.bind(socketPath());
    using out = space();
    using into = space();
    out.addFds([fd]);
    sendmsg(sender, "hello", out, { address: receiver.address! });
    const result = recvmsg(receiver, room.subarray(0, 2), into);
    assert.equal(result, { bytesRead: 2, ancillaryTruncated: false, dataTruncated: true, address: sender.address });
    assert.is(closeMessages(into).length, 1);
    receiver.close();
    sender.close();
  }));

test("not-a-unix-socket: refused before anything is sent", () =>
  withFile(async (fd) => {
    using out = space();
    out.addFds([fd]);
    assert.is(await codeOf(() => sendmsg(fd, "x", out)), "ERR_NOT_UNIX_SOCKET");
    assert.is(await codeOf(() => sendmsg(fd, "x")), "ENOTSOCK");
    assert.is(await codeOf(() => recvmsg(fd, room)), "ENOTSOCK");
    const server = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const tcp = createConnection((server.address() as { port: number }).port, "127.0.0.1");
    await new Promise((resolve) => tcp.once("connect", resolve));
    assert.is(await codeOf(() => sendmsg(tcp, "x", out)), "ERR_NOT_UNIX_SOCKET");
    tcp.destroy();
    await new Promise((resolve) => server.close(resolve));
  }));

test("bare-numbers-and-owners: both are accepted as sockets", () =>
  withFile((fd) => {
    const [a, b] = UnixStream.pair();
    using out = space();
    using into = space();
    out.addFds([fd]);
    using owned = OwnedFd.from(a);
    for (const socket of [a, a.fd, owned, { fd: a.fd }]) {
      sendmsg(socket, "x", out);
      recvmsg(b.fd, room, into);
      const [message] = closeMessages(into);
      assert.ok(message?.kind === "rights");
    }
    a.close();
    b.close();
  }));

test(
  "getters-in-between: a descriptor's getter that sends does not overwrite the control buffer",
  pair((a, b) =>
    withFile((fd) => {
      using out = space();
      using inner = space();
      inner.addFds([fd, fd]);
      let armed = false;
      out.addFds([
        {
          get fd() {
            if (armed) sendmsg(a, "inner", inner);
            return fd;
          },
        },
      ]);
      armed = true;
      sendmsg(a, "outer", out);
      using into = space();
      recvmsg(b, room.subarray(0, 5), into);
      const [first] = closeMessages(into);
      assert.ok(first?.kind === "rights" && first.fds.length === 2);
      recvmsg(b, room.subarray(0, 5), into);
      const [second] = closeMessages(into);
      assert.ok(second?.kind === "rights" && second.fds.length === 1);
      assert.is(fstatSync(fd).isFile(), true);
    }),
  ),
);

test(
  "getters-in-between: a buffer that a getter received into is not sent",
  pair((a, b) =>
    withFile(async (fd) => {
      using buffer = space();
      b.sendFdsSync("x", [fd]);
      let armed = false;
      buffer.addFds([
        {
          get fd() {
            if (armed) recvmsg(a, room, buffer);
            return fd;
          },
        },
      ]);
      armed = true;
      assert.is(await codeOf(() => sendmsg(a, "y", buffer)), "ERR_ANCILLARY_RECEIVED");
      assert.is(closeMessages(buffer).length, 1);
      assert.is(b.tryRecvFds(1), null);
    }),
  ),
);

test(
  "memory-that-is-detached: refused before anything is sent or received",
  pair((a, b) =>
    withFile(async (fd) => {
      const memory = new Uint8Array(new ArrayBuffer(100), 1);
      using out = new SocketAncillary(memory);
      out.addFds([fd]);
      sendmsg(a, "x", out);
      structuredClone(memory.buffer, { transfer: [memory.buffer] });
      assert.instance(await errorOf(() => sendmsg(a, "y", out)), RangeError);
      using into = new SocketAncillary(0);
      assert.instance(await errorOf(() => recvmsg(b, room, out)), RangeError);
      assert.is(recvmsg(b, room, into).bytesRead, 1, "the bytes are still there, and only those");
    }),
  ),
);

test(
  "more-buffers-than-a-call-takes: sent whole, received whole",
  pair((a, b) => {
    const pieces = Array.from({ length: 3000 }, (_, i) => Uint8Array.of(i));
    assert.is(sendmsg(a, pieces), 3000);
    const into = [new Uint8Array(0), ...Array.from({ length: 1500 }, () => new Uint8Array(3))];
    assert.is(recvmsg(b, into).bytesRead, 3000);
    assert.equal(Buffer.concat(into, 3000), Buffer.concat(pieces));
  }),
);

test("wrong-types: an error for each", async () => {
  using out = space();
  for (const wrong of [undefined, null, 1, "x"]) {
    for (const action of [
      () => out.addCredentials(wrong as never),
      () => out.addMessage(wrong as never),
      () => out.addFds(wrong as never),
    ]) {
      const error = (await errorOf(action)) as Error & { code?: string };
      assert.instance(error, TypeError);
      assert.is(error.code, "ERR_INVALID_ARG_TYPE");
    }
  }
});

test.run();
