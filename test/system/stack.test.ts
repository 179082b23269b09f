/** Calls near the end of the stack: they throw before the system call, or not at all. */

import { OwnedFd, UnixDatagram, UnixListener, UnixStream } from "unix-ancillary";
import * as assert from "uvu/assert";
import { leakChecked, socketPath } from "../support.ts";

const test = leakChecked("stack");

/** Calls itself so many times before it calls `body`. */
function down(levels: number, body: () => void): void {
  if (levels > 0) down(levels - 1, body);
  else body();
}

/** Levels until the stack ends, within a hundred; more when code was compiled meanwhile. */
function levelsOfStack(): number {
  for (let levels = 0; ; levels += 100) {
    try {
      down(levels, () => {});
    } catch {
      return levels;
    }
  }
}

/** Calls `body` at every distance from the end of the stack, and says for each whether it threw a RangeError. */
function atEveryDepth(body: () => void, after: (threw: boolean) => void): void {
  let threw = 0;
  for (let levels = levelsOfStack() - 500; threw < 200; levels++) {
    let failed = false;
    try {
      down(levels, body);
    } catch (error) {
      assert.instance(error, RangeError);
      failed = true;
    }
    if (failed) threw++;
    after(failed);
  }
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

test.run();
