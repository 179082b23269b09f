/** Datagram and seqpacket sockets: boundaries, names, empty messages, truncated messages. */

import { existsSync, statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type AncillaryError, OwnedFd, UnixDatagram, UnixSeqpacket, UnixStream } from "unix-ancillary";
import * as assert from "uvu/assert";
import { codeOf, crowd, errorOf, leakChecked, run, socketPath } from "../support.ts";

const test = leakChecked("messages");

test("transferring the memory of a message to a worker empties no other message, the first ones and later ones", () => {
  const [a, b] = UnixDatagram.pair();
  for (const bufferSize of [16, 1024, 4096, 65536]) {
    const messages = Array.from({ length: 40 }, (_, i) => {
      a.sendFdsSync(`message ${i}`);
      return b.recvFdsSync(0, { bufferSize }).data;
    });
    for (const [i, data] of messages.entries()) {
      assert.is(data.toString(), `message ${i}`);
      try {
        structuredClone(data, { transfer: [data.buffer as ArrayBuffer] });
      } catch (error) {
        assert.is((error as Error).name, "DataCloneError");
      }
    }
  }
  a.close();
  b.close();
});

for (const [kind, make] of [
  ["datagram", () => UnixDatagram.pair()],
  ["seqpacket", () => UnixSeqpacket.pair()],
] as const) {
  test(`${kind}: every message is one receive, with its own descriptors`, async () => {
    const [a, b] = make();
    a.sendFdsSync("one", [0]);
    await a.sendFds(
      ["t", "wo"].map((part) => Buffer.from(part)),
      [0, 0],
    );
    a.trySendFds("three");
    const messages = [b.recvFdsSync(3), await b.recvFds(3), b.tryRecvFds(3)!];
    assert.equal(
      messages.map(({ data, fds }) => [data.toString(), fds.length]),
      [
        ["one", 1],
        ["two", 2],
        ["three", 0],
      ],
    );
    for (const message of messages) {
      assert.is(message.eof, false);
      assert.is(message.streamOffset, 0);
      message[Symbol.dispose]();
    }
    assert.is(b.tryRecvFds(3), null);
    a.close();
    b.close();
  });

  test(`${kind}: a list of more buffers than a call takes is one message, and is filled by one`, () => {
    const [a, b] = make();
    const pieces = Array.from({ length: 3000 }, (_, i) => Uint8Array.of(i));
    assert.is(a.sendFdsSync(pieces, [0]), 3000);
    const into = pieces.map(() => new Uint8Array(1));
    const message = b.recvFdsIntoSync(into, 1);
    assert.equal([message.bytesRead, message.fds.length, message.dataTruncated], [3000, 1, false]);
    assert.equal(into, pieces);
    message[Symbol.dispose]();
    a.close();
    b.close();
  });

  test(`${kind}: an empty message carries descriptors and is not the end of the stream`, async () => {
    const [a, b] = make();
    a.sendFdsSync("", [0]);
    a.sendFdsSync("");
    const first = b.recvFdsSync(1);
    assert.equal([first.data.length, first.fds.length, first.eof], [0, 1, false]);
    first[Symbol.dispose]();
    assert.equal([b.recvFdsSync(1).eof], [false]);
    a.close();
    b.close();
  });

  test(`${kind}: a message longer than the buffer is an error that closes its descriptors, unless allowed`, async () => {
    const [a, b] = make();
    a.sendFdsSync("long message", [0]);
    const error = (await errorOf(() => b.recvFdsSync(1, { bufferSize: 4 }))) as AncillaryError;
    assert.is(error.code, "ERR_DATA_TRUNCATED");
    assert.is(Buffer.from(error.data!).toString(), "long");
    a.sendFdsSync("long message", [0]);
    const cut = await b.recvFds(1, { bufferSize: 4, allowTruncated: true });
    assert.equal([cut.data.toString(), cut.dataTruncated, cut.fds.length], ["long", true, 1]);
    cut[Symbol.dispose]();
    a.sendFdsSync("whole");
    assert.is(b.recvFdsSync(1).dataTruncated, false);
    a.close();
    b.close();
  });

  test(`${kind}: a send waits for a full receiver, and the order is kept`, async () => {
    const [a, b] = make();
    const pending: Promise<number>[] = [];
    for (let i = 0; i < 2000; i++) pending.push(a.sendFds(`${i}`.padEnd(500), i % 10 === 0 ? [0] : []));
    let fds = 0;
    for (let i = 0; i < 2000; i++) {
      const message = await b.recvFds(1);
      assert.is(Number(message.data.toString()), i);
      fds += message.fds.length;
      message[Symbol.dispose]();
    }
    await Promise.all(pending);
    assert.is(fds, 200);
    a.close();
    b.close();
  });

  test(`${kind}: a receive into zero bytes takes a message, as there is a boundary`, () => {
    const [a, b] = make();
    a.sendFdsSync("", [0]);
    const message = b.recvFdsIntoSync(new Uint8Array(0), 1);
    assert.equal([message.bytesRead, message.fds.length], [0, 1]);
    message[Symbol.dispose]();
    a.close();
    b.close();
  });
}

test("seqpacket: a record of a peer that has closed is not the end because it was received into zero bytes", () => {
  const [a, b] = UnixSeqpacket.pair();
  for (const text of ["first", "last"]) a.sendFdsSync(text);
  a.close();
  for (const cut of [true, true, false]) {
    const message = b.recvFdsIntoSync(new Uint8Array(0), 0, { allowTruncated: true });
    assert.equal([message.dataTruncated, message.eof], [cut, !cut]);
  }
  b.close();
});

test("seqpacket: an empty record is not the end while the peer is open", async () => {
  const [a, b] = UnixSeqpacket.pair();
  a.sendFdsSync("");
  assert.is((await b.recvFds(0)).eof, false);
  a.sendFdsSync("last");
  a.close();
  assert.is((await b.recvFds(0)).data.toString(), "last");
  assert.is((await b.recvFds(0)).eof, true);
  const rest: string[] = [];
  for await (const message of b) rest.push(message.data.toString());
  assert.equal(rest, []);
  b.close();
});

test("seqpacket: sendFdsAll sends a whole record, also an empty one", async () => {
  const [a, b] = UnixSeqpacket.pair();
  await a.sendFdsAll(Buffer.alloc(60_000), [0]);
  a.sendFdsAllSync("");
  const first = b.recvFdsSync(1);
  assert.equal([first.data.length, first.fds.length], [60_000, 1]);
  first[Symbol.dispose]();
  assert.is(b.recvFdsSync(1).data.length, 0);
  a.close();
  b.close();
});

test("seqpacket: EMSGSIZE for a record that never fits, with nothing sent", async () => {
  const [a, b] = UnixSeqpacket.pair();
  const error = (await errorOf(a.sendFdsAll(Buffer.alloc(10_000_000), [0]))) as Error & {
    code: string;
    bytesSent: number;
  };
  assert.equal([error.code, error.bytesSent], ["EMSGSIZE", 0]);
  a.close();
  b.close();
});

test("seqpacket: connects, adopts, and refuses other sockets", async () => {
  const [a, b] = UnixSeqpacket.pair();
  const copy = UnixSeqpacket.from(OwnedFd.from(a));
  copy.sendFdsSync("x");
  assert.is(b.recvFdsSync(0).data.toString(), "x");
  assert.is(b.peerCredentials().pid, process.pid);
  const [stream, other] = UnixStream.pair();
  const owned = OwnedFd.from(stream);
  assert.is(await codeOf(() => UnixSeqpacket.from(owned)), "ERR_NOT_UNIX_SOCKET");
  assert.is(await codeOf(() => UnixDatagram.from(owned)), "ERR_NOT_UNIX_SOCKET");
  owned.close();
  assert.is(await codeOf(UnixSeqpacket.connect(socketPath())), "ENOENT");
  for (const one of [a, b, copy, stream, other]) one.close();
});

test("datagram: bind, send to an address, and receive the sender's address", async () => {
  const [here, there] = [socketPath(), socketPath()];
  const server = UnixDatagram.bind(here);
  const client = UnixDatagram.bind(there);
  assert.is(server.address, here);
  assert.is(client.sendFdsToSync("question", [0], here), 8);
  const question = await server.recvFdsFrom(1);
  assert.equal([question.data.toString(), question.address, question.fds.length], ["question", there, 1]);
  question[Symbol.dispose]();
  await server.sendFdsTo("answer", [0, 0], question.address!);
  const answer = client.recvFdsFromSync(2);
  assert.equal([answer.data.toString(), answer.address, answer.fds.length], ["answer", here, 2]);
  answer[Symbol.dispose]();
  const nameless = UnixDatagram.unbound();
  nameless.connect(here);
  nameless.sendFdsSync("who");
  assert.is((await server.recvFdsFrom(0)).address, null);
  for (const one of [server, client, nameless]) one.close();
  assert.not.ok(existsSync(here), "close removes the name it made");
  assert.not.ok(existsSync(there));
});

test("datagram: abstract names, and names chosen by the kernel", async () => {
  const name = `\0unix-ancillary-datagram-${process.pid}`;
  const named = UnixDatagram.bind(name);
  assert.is(named.address, name);
  const chosen = UnixDatagram.bind("");
  assert.match(chosen.address!, /^\0[0-9a-f]{5}$/);
  chosen.sendFdsToSync("x", [], name);
  assert.is(named.recvFdsFromSync(0).address, chosen.address);
  named.close();
  chosen.close();
});

test("datagram: names that are taken, missing or invalid", async () => {
  const path = socketPath();
  const first = UnixDatagram.bind(path);
  assert.is(await codeOf(() => UnixDatagram.bind(path)), "EADDRINUSE");
  const client = UnixDatagram.unbound();
  assert.is(await codeOf(() => client.connect(socketPath())), "ENOENT");
  assert.is(await codeOf(() => client.sendFdsToSync("x", [], socketPath())), "ENOENT");
  assert.is(await codeOf(client.sendFdsTo("x", [], socketPath())), "ENOENT");
  assert.is(await codeOf(() => client.sendFdsSync("x")), "ENOTCONN");
  assert.is(await codeOf(() => client.sendFdsToSync("x", [0], "")), "ERR_OUT_OF_RANGE");
  client.close();
  first.close();
});

test("datagram: a name that another program took over is not removed", async () => {
  const path = socketPath();
  const first = UnixDatagram.bind(path);
  await run("rm", [path]);
  const second = UnixDatagram.bind(path);
  const { ino } = statSync(path);
  first.close();
  assert.is(statSync(path).ino, ino);
  second.close();
  assert.not.ok(existsSync(path));
});

test("datagram: a send to a full receiver is tried again, although the socket is reported writable", async () => {
  const path = socketPath();
  const server = UnixDatagram.bind(path);
  const client = UnixDatagram.unbound();
  const filled = crowd(client, path);
  const pending = Array.from({ length: 50 }, (_, i) => client.sendFdsTo(`${i}`, [0], path));
  const { system } = client.platform;
  const { sendmsg } = system;
  let attempts = 0;
  system.sendmsg = (...given) => {
    attempts++;
    return sendmsg.apply(system, given);
  };
  await sleep(300);
  delete (system as Partial<typeof system>).sendmsg;
  // The shortest pause is a millisecond. Without one there are tens of thousands.
  assert.ok(attempts > 0 && attempts <= 300, `${attempts} attempts`);
  for (let i = 0; i < filled; i++) server.recvFdsSync(0);
  for (let i = 0; i < 50; i++) {
    const message = await server.recvFds(1);
    assert.is(message.data.toString(), String(i));
    message[Symbol.dispose]();
  }
  await Promise.all(pending);
  crowd(client, path);
  assert.is(await codeOf(() => client.sendFdsToSync("x", [], path, { timeout: 20 })), "ETIMEDOUT");
  client.close();
  server.close();
});

test("seqpacket: an empty record is not the end while records follow it", async () => {
  for (const send of [(a: UnixSeqpacket) => a.sendFdsSync("last"), (a: UnixSeqpacket) => a.sendFdsSync("", [0])]) {
    const [a, b] = UnixSeqpacket.pair();
    a.sendFdsSync("");
    send(a);
    a.close();
    let messages = 0;
    for await (const message of b) {
      messages++;
      message[Symbol.dispose]();
    }
    assert.is(messages, 2);
    b.close();
  }
});

test("messages: what a loop asks for cannot be changed after it was checked", async () => {
  const [a, b] = UnixStream.pair();
  const messages = Object.assign(b.messages(1), { socket: null, maxFds: 253, options: {} });
  a.sendFdsSync("x", [0, 0]);
  const { value } = await messages.next();
  assert.is(value!.fds.length, 1);
  value![Symbol.dispose]();
  a.close();
  b.close();
});

test.run();
