/** Calls near the end of the stack: they throw before the system call, or not at all. */

import {
  type AncillaryData,
  FdChannel,
  OwnedFd,
  recvmsg,
  SocketAncillary,
  UnixDatagram,
  UnixListener,
  UnixStream,
} from "unix-ancillary";
import * as assert from "uvu/assert";
import { codeOf, leakChecked, socketPath } from "../support.ts";

const test = leakChecked("stack");

/** Calls itself so many times before it calls `body`. */
function down(levels: number, body: () => void): void {
  if (levels > 0) down(levels - 1, body);
  else body();
}

function fits(levels: number): boolean {
  try {
    down(levels, () => {});
    return true;
  } catch {
    return false;
  }
}

/** Levels of about 70 KiB: one has 100 bytes, or half of it with pointers of 32 bits. */
const ROOM = ["arm", "ia32"].includes(process.arch) ? 1400 : 700;

/**
 * A number of levels, {@link ROOM}, before the end of the stack. The size of a level changes when V8 compiles the function, so it is
 * tried several times.
 */
function nearTheEnd(): number {
  let levels = 100;
  while (fits(levels)) levels += 100;
  for (let i = 0; i < 20; i++) while (!fits(levels)) levels -= 100;
  return levels - ROOM;
}

/** Calls `body` at every distance from the end of the stack, and says for each whether it threw a RangeError. */
function atEveryDepth(body: () => void, after: (threw: boolean) => void): void {
  let did = 0;
  // Again if V8 has compiled the functions meanwhile, and the end was nearer than it seemed.
  for (let attempt = 0; attempt < 5 && did <= 100; attempt++) {
    let threw = 0;
    for (let levels = nearTheEnd(); threw < 200; levels++) {
      let failed = false;
      try {
        down(levels, body);
        did++;
      } catch (error) {
        assert.instance(error, RangeError);
        failed = true;
      }
      if (failed) threw++;
      after(failed);
    }
  }
  assert.ok(did > 100, `only ${did} calls had enough stack: this tests nothing`);
}

test("a receive near the end of the stack leaves the message, or delivers it with its descriptors", () => {
  const [a, b] = UnixDatagram.pair();
  let received: Disposable | null = null;
  a.sendFdsSync("data", [0, 1, 2]);
  for (const receive of [() => b.tryRecvFds(4), () => b.recvFdsSync(4), () => b.tryRecvFds(1)]) {
    atEveryDepth(
      () => {
        received = receive();
      },
      (threw) => {
        assert.is(received === null, threw);
        received?.[Symbol.dispose]();
        received = null;
        if (threw) {
          const rest = b.tryRecvFds(4);
          assert.is(rest?.fds.length, 3, "the message is still there");
          rest?.[Symbol.dispose]();
        }
        a.sendFdsSync("data", [0, 1, 2]);
      },
    );
  }
  a.close();
  b.close();
});

test("what makes a descriptor near the end of the stack makes none, or an owner too", () => {
  const path = socketPath();
  const listener = UnixListener.bind(path);
  const file = OwnedFd.from(0);
  let made: Disposable[] = [];
  const makers: (() => Disposable[])[] = [
    () => UnixStream.pair(),
    () => [file.dup()],
    () => [UnixDatagram.unbound()],
    () => [listener.acceptSync({ timeout: 0 })],
  ];
  for (const make of makers) {
    let client = UnixStream.connectSync(path);
    atEveryDepth(
      () => {
        made = make();
      },
      () => {
        if (made.length > 0 && make === makers[3]) {
          client.close();
          client = UnixStream.connectSync(path);
        }
        for (const each of made) each[Symbol.dispose]();
        made = [];
      },
    );
    client.close();
  }
  file.close();
  listener.close();
});

test("a close near the end of the stack closes, or can be called again", () => {
  let file = OwnedFd.from(0);
  atEveryDepth(
    () => file.close(),
    (threw) => {
      if (threw) file.close();
      assert.ok(file.closed);
      file = OwnedFd.from(0);
    },
  );
  file.close();
});

test("closing a socket near the end of the stack fails what waits, or can be done again", async () => {
  const settled: Promise<unknown>[] = [];
  const fresh = () => {
    const [a, b] = UnixStream.pair();
    for (let i = 0; i < 3; i++) settled.push(codeOf(b.recvFds(1, { signal: new AbortController().signal })));
    return { a, b };
  };
  let { a, b } = fresh();
  atEveryDepth(
    () => b.close(),
    (threw) => {
      assert.is(b.closed, !threw);
      b.close();
      a.close();
      ({ a, b } = fresh());
    },
  );
  b.close();
  a.close();
  assert.equal([...new Set(await Promise.all(settled))], ["ERR_SOCKET_CLOSED"]);
});

/** Descriptors that `close` closes all at once. */
type Held = { readonly close: () => void; readonly all: readonly OwnedFd[] };

const HOLDERS: Readonly<Record<string, (a: UnixStream, b: UnixStream) => Held>> = {
  "one descriptor of a message"(a, b) {
    a.sendFdsSync("x", [0]);
    const message = b.recvFdsSync(1);
    return { close: () => message[Symbol.dispose](), all: message.fds };
  },
  "three of a message, one of them twice in the list"(a, b) {
    a.sendFdsSync("x", [0, 1, 2]);
    const message = b.recvFdsSync(3);
    const all = [...message.fds];
    message.fds.push(all[1]!);
    return { close: () => message[Symbol.dispose](), all };
  },
  "an ancillary buffer of several messages"(a, b) {
    const space = new SocketAncillary(256);
    a.sendFdsSync("x", [0, 1]);
    recvmsg(b, Buffer.alloc(1), space);
    const { value } = space.messages().next() as { value: AncillaryData };
    // What is not taken is closed with the buffer; what is taken is the caller's.
    const fds = value.kind === "rights" ? value.fds : [];
    a.sendFdsSync("x", [2, 0]);
    recvmsg(b, Buffer.alloc(1), space);
    return {
      close: () => {
        space.clear();
        for (const fd of fds) fd.close();
      },
      all: fds,
    };
  },
};

for (const [what, make] of Object.entries(HOLDERS)) {
  test(`closing ${what} near the end of the stack closes, or can be done again, and nothing is closed twice`, () => {
    const [a, b] = UnixStream.pair();
    let held = make(a, b);
    atEveryDepth(
      () => held.close(),
      () => {
        // It gets the numbers that were closed.
        const canaries = [OwnedFd.from(0), OwnedFd.from(0), OwnedFd.from(0)];
        held.close();
        for (const fd of held.all) assert.ok(fd.closed);
        for (const canary of canaries) {
          // EBADF if it was closed.
          canary.close();
        }
        held = make(a, b);
      },
    );
    held.close();
    a.close();
    b.close();
  });
}

test("closing a channel near the end of the stack closes its socket, or can be done again", () => {
  const channels: FdChannel[] = [];
  let [a, b] = FdChannel.pair();
  atEveryDepth(
    () => a.close(),
    () => {
      a.close();
      b.close();
      channels.push(a, b);
      [a, b] = FdChannel.pair();
    },
  );
  a.close();
  b.close();
  assert.ok(channels.length > 200);
});

test("closing a reader near the end of the stack closes its descriptors, or can be done again", async () => {
  const ends: (() => unknown)[] = [];
  for (let i = 0; i < 1000; i++) {
    const [a, b] = UnixStream.pair();
    const reader = b.reader();
    a.sendFdsSync("x", [0, 1, 2]);
    await reader.read(1);
    assert.is(reader.queuedFds, 3);
    ends.push(() => reader.close());
    a.close();
  }
  let next = 0;
  let threw = 0;
  for (let levels = nearTheEnd(); next < ends.length; levels++, next++) {
    try {
      down(levels, ends[next]! as () => void);
    } catch (error) {
      assert.instance(error, RangeError);
      threw++;
    }
    ends[next]!();
  }
  assert.ok(threw > 50, `${threw}`);
});

test.run();
