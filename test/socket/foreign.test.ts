/** Objects of other realms and of another copy of the library. */

import { cpSync, symlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { runInNewContext } from "node:vm";
import { FdChannel, OwnedFd, SocketAncillary, sendmsg, UnixDatagram, UnixListener, UnixStream } from "unix-ancillary";
import * as assert from "uvu/assert";
import { codeOf, errorOf, leakChecked, pair, socketPath, temporaryFolder } from "../support.ts";

const test = leakChecked("foreign");

/** An AbortSignal as jsdom's and polyfills': none of Node's. `code` runs whenever the library uses it. */
class ForeignSignal {
  readonly #listeners = new Set<() => void>();
  readonly #code: (member: string) => unknown;
  #aborted = false;
  #reason: unknown;

  constructor(code: (member: string) => unknown = () => {}) {
    this.#code = code;
  }
  get aborted(): boolean {
    this.#code("aborted");
    return this.#aborted;
  }
  get reason(): unknown {
    this.#code("reason");
    return this.#reason;
  }
  addEventListener(_type: string, listener: () => void): void {
    this.#code("addEventListener");
    this.#listeners.add(listener);
    this.#code("listening");
  }
  removeEventListener(_type: string, listener: () => void): void {
    this.#code("removeEventListener");
    this.#listeners.delete(listener);
  }
  abort(reason?: unknown): void {
    this.#aborted = true;
    this.#reason = reason;
    for (const listener of this.#listeners) listener();
  }
  get listeners(): number {
    return this.#listeners.size;
  }
  get signal(): AbortSignal {
    return this as unknown as AbortSignal;
  }
}

test(
  "an AbortSignal of jsdom or a polyfill cancels, with its reason, and keeps no listener",
  pair(async (a, b) => {
    const foreign = new ForeignSignal();
    const { signal } = foreign;
    const first = b.recvFds(0, { signal });
    const second = b.recvFds(0, { signal });
    assert.is(foreign.listeners, 1);
    a.sendFdsSync("x");
    assert.is(String((await first).data), "x");
    const reason = new Error("stop");
    foreign.abort(reason);
    assert.is(await errorOf(second), reason);
    assert.is(foreign.listeners, 1, "a once listener that has been called");
    assert.is(await errorOf(b.recvFds(0, { signal })), reason);
  }),
);

test(
  "a polyfill without reasons: the error is Node's AbortError, the same each time",
  pair(async (_a, b) => {
    const foreign = new ForeignSignal();
    const waiting = b.recvFds(0, { signal: foreign.signal });
    foreign.abort();
    const error = await errorOf(waiting);
    assert.is(error.name, "AbortError");
    assert.is(await errorOf(b.recvFds(0, { signal: foreign.signal })), error);
  }),
);

test("a channel and a reader take one, too", async () => {
  const [ours, theirs] = FdChannel.pair();
  const foreign = new ForeignSignal();
  const waiting = ours.recv({ signal: foreign.signal });
  await sleep(1);
  foreign.abort(new Error("stop"));
  assert.is((await errorOf(waiting)).message, "stop");
  // The channel is whole: nothing of a frame had come.
  await theirs.send("later");
  assert.is(String((await ours.recv())!.payload), "later");
  ours.close();
  theirs.close();
});

test("a foreign signal that is aborted while the listener is added: the call is cancelled, and later ones are served", async () => {
  const [a, b] = UnixStream.pair();
  const aborting = (): AbortSignal => {
    const foreign: ForeignSignal = new ForeignSignal((used) => {
      if (used === "listening") foreign.abort(new Error("stop"));
    });
    return foreign.signal;
  };
  const cancelled = async (waiting: Promise<unknown>) =>
    assert.is((await Promise.race([errorOf(waiting), sleep(2000)]))?.message, "stop");
  await cancelled(b.recvFds(0, { signal: aborting() }));
  const [c, d] = UnixStream.pair();
  const closing = new ForeignSignal((used) => used === "listening" && d.close());
  assert.is(await codeOf(d.recvFds(0, { signal: closing.signal })), "ERR_SOCKET_CLOSED");
  assert.is(closing.listeners, 0);
  c.close();
  const reader = b.reader();
  const first = reader.read(1);
  await cancelled(reader.read(1, { signal: aborting() }));
  const third = reader.read(1);
  a.sendFdsSync("xy");
  assert.is(String(await first), "x");
  assert.is(String(await Promise.race([third, sleep(2000)])), "y");
  reader.close();
  const path = socketPath();
  const listener = UnixListener.bind(path, { backlog: 0 });
  const waiting = [await UnixStream.connect(path)];
  await cancelled(UnixStream.connect(path, { signal: aborting() }));
  for (const one of [...waiting, listener, a]) one.close();
});

for (const member of ["aborted", "reason", "addEventListener", "removeEventListener"]) {
  for (const [what, act] of [
    ["throws", () => {}],
    ["closes the socket", (socket: UnixStream) => socket.close()],
  ] as const) {
    test(
      `a foreign signal whose ${member} ${what}: the call fails or succeeds, and nothing is lost`,
      pair(async (a, b) => {
        let armed = false;
        const foreign = new ForeignSignal((used) => {
          if (!armed || used !== member) return;
          armed = false;
          if (what === "throws") throw new Error("of the signal");
          act(b);
        });
        armed = true;
        const waiting = errorOf(async () => {
          const message = await b.recvFds(1, { signal: foreign.signal });
          message[Symbol.dispose]();
          throw new Error("received");
        });
        // The other end may be closed by now.
        await errorOf(() => a.sendFdsSync("x", [0])).catch(() => {});
        if (member === "reason") foreign.abort(new Error("stop"));
        const { message } = await waiting;
        assert.match(message, /of the signal|received|stop|was closed/);
      }),
    );
  }
}

test("a foreign signal that throws when a connect begins to wait: the connect fails, and nothing is thrown later", async () => {
  const path = socketPath();
  const listener = UnixListener.bind(path, { backlog: 0 });
  const first = UnixStream.connectSync(path);
  const { signal } = new ForeignSignal((used) => {
    if (used === "addEventListener") throw new Error("of the signal");
  });
  const { message } = await errorOf(UnixStream.connect(path, { signal }));
  assert.is(message, "of the signal");
  // Longer than the pause: what its timer throws ends this process.
  await sleep(20);
  for (const one of [first, listener]) one.close();
});

test("objects that are no signals are refused", async () => {
  const [a, b] = UnixStream.pair();
  for (const wrong of [
    {},
    { aborted: false },
    { aborted: 1, addEventListener() {}, removeEventListener() {} },
    new EventTarget(),
    () => {},
  ])
    assert.is(
      ((await errorOf(() => a.recvFds(0, { signal: wrong as AbortSignal }))) as { code?: string }).code,
      "ERR_INVALID_ARG_TYPE",
    );
  a.close();
  b.close();
});

test(
  "bytes of another realm are sent and received into",
  pair(async (a, b) => {
    const bytes = runInNewContext("Uint8Array.of(104, 105)") as Uint8Array;
    a.sendFdsSync(bytes);
    a.sendFdsSync([bytes, bytes]);
    const into = runInNewContext("new Uint8Array(6)") as Uint8Array;
    await b.recvFdsInto(into, 0);
    assert.equal([...into], [...Buffer.from("hihihi")]);
  }),
);

/** Another copy of the library, as npm installs when two packages need two versions. */
async function copy(): Promise<typeof import("unix-ancillary")> {
  const folder = temporaryFolder();
  for (const part of ["dist", "package.json"]) cpSync(resolve(part), join(folder, part), { recursive: true });
  for (const part of ["prebuilds", "build"]) symlinkSync(resolve(part), join(folder, part));
  return import(pathToFileURL(join(folder, "dist", "index.js")).href);
}

test("two copies: descriptors and sockets of the other are sent; to take them over is refused, and the message says why", async () => {
  const other = await copy();
  assert.is.not(other.OwnedFd, OwnedFd);
  const [a, b] = UnixStream.pair();
  const theirs = other.OwnedFd.from(0) as unknown as OwnedFd;
  const [stream, end] = other.UnixStream.pair() as unknown as [UnixStream, UnixStream];
  a.sendFdsSync("x", [theirs, stream]);
  const message = b.recvFdsSync(2);
  assert.is(message.fds.length, 2);
  message[Symbol.dispose]();
  OwnedFd.from(theirs).close();
  const ancillary = new other.SocketAncillary(64) as unknown as SocketAncillary;
  for (const take of [
    () => UnixStream.from(theirs),
    () => UnixDatagram.from(theirs),
    () => UnixListener.from(theirs),
    () => FdChannel.over(stream),
    () => sendmsg(a, "x", ancillary),
  ]) {
    const error = (await errorOf(take)) as Error & { code?: string };
    assert.is(error.code, "ERR_INVALID_ARG_TYPE");
    assert.match(error.message, /of another copy of unix-ancillary: this process has loaded two/);
  }
  assert.not(theirs.closed);
  for (const one of [theirs, stream, end, a, b]) one.close();
  assert.instance(new SocketAncillary(64), SocketAncillary);
});

test.run();
