/** A part of the library's work that takes every kind of wait. It uses no global after it was loaded, and no other file of the tests. */

import type { ReceivedFds } from "unix-ancillary";
import * as assert from "uvu/assert";

export type Library = typeof import("unix-ancillary");

const { Array: OwnArray, Buffer, Promise: OwnPromise, String: OwnString, Symbol: OwnSymbol } = globalThis;

async function codeOf(action: () => unknown): Promise<unknown> {
  try {
    await action();
    return null;
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
}

/** A good part of what the library does, with every kind of wait. */
export async function everything(library: Library, path: string): Promise<void> {
  const { FdChannel, recvmsg, SocketAncillary, sendmsg, UnixDatagram, UnixListener, UnixSeqpacket, UnixStream } =
    library;
  for (const kind of [UnixStream, UnixSeqpacket, UnixDatagram]) {
    const [a, b] = kind.pair();
    // Beyond the turns of the event loop that are forced.
    for (let i = 0; i < 200; i++) {
      await a.sendFds("x", i % 2 === 0 ? [0] : [0, 1, 2]);
      const message: ReceivedFds = await b.recvFds(3);
      assert.is(message.fds.length, i % 2 === 0 ? 1 : 3);
      message[OwnSymbol.dispose]();
    }
    const waiting = b.recvFds(1, { bufferSize: 100_000 });
    await a.sendFds("later", [0]);
    const message = await waiting;
    assert.is(OwnString(message.data), "later");
    message[OwnSymbol.dispose]();
    assert.is(await codeOf(() => b.recvFdsSync(0, { timeout: 20 })), "ETIMEDOUT");
    a.sendFdsSync([Buffer.from("in "), Buffer.from("pieces")], [0]);
    const into = [Buffer.alloc(4), Buffer.alloc(4)];
    const received = b.recvFdsIntoSync(into, 0, { allowTruncated: true });
    assert.is(received.surplus, 1);
    assert.is(OwnString(Buffer.concat(into)), "in piece");
    a.close();
    b.close();
  }
  const listener = UnixListener.bind(path, { backlog: 0 });
  const first = UnixStream.connectSync(path);
  // The backlog is full: they wait with timers.
  const rest = [UnixStream.connect(path), UnixStream.connect(path)];
  for (let i = 0; i < 3; i++) (await listener.accept()).close();
  first.close();
  for (const stream of await OwnPromise.all(rest)) stream.close();
  listener.close();
  const server = UnixDatagram.bind(`${path}.d`);
  const client = UnixDatagram.unbound();
  // Its queue is full: a send waits with a timer.
  const sends = OwnArray.from({ length: 30 }, (_, i) => client.sendFdsTo(`${i}`, [0], `${path}.d`));
  for (let i = 0; i < 30; i++) {
    const datagram = await server.recvFdsFrom(1);
    assert.is(OwnString(datagram.data), `${i}`);
    datagram[OwnSymbol.dispose]();
  }
  await OwnPromise.all(sends);
  client.close();
  server.close();
  const [c, d] = FdChannel.pair({ frameTimeout: 10_000 });
  for (let i = 0; i < 100; i++) {
    await c.send("frame", [0]);
    const frame = await d.recv();
    assert.is(frame?.fds.length, 1);
    frame?.[OwnSymbol.dispose]();
  }
  c.close();
  d.close();
  const [e, f] = UnixSeqpacket.pair();
  const space = new SocketAncillary(SocketAncillary.bufferSizeForRights(2));
  space.addFds([0, 1]);
  sendmsg(e, "low", space);
  recvmsg(f, Buffer.alloc(3), space);
  let came = 0;
  for (const item of space.messages())
    if (item.kind === "rights") {
      came += item.fds.length;
      for (const fd of item.fds) fd.close();
    }
  assert.is(came, 2);
  const reader = f.reader();
  e.sendFdsSync("read", [0]);
  assert.is(OwnString(await reader.read(4)), "read");
  reader.takeFds(1)[0]!.close();
  reader.close();
  e.close();
}
