/**
 * A thread that is terminated right after a call of the addon, for each call of an operation in which a descriptor is made or changes
 * hands: every descriptor has an owner at that moment, so nothing stays open.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import * as assert from "uvu/assert";
import { leakChecked, NEEDS, openFds, socketPath } from "../support.ts";

const test = leakChecked("handovers");

/** The word of the shared memory that is 1 once the worker stands still. */
const shared = () => new Int32Array(new SharedArrayBuffer(4));

/** Stands still after the n-th call of the addon from `stopAfter(n)` on, until it is terminated. */
const STOPPING = `
const { parentPort, workerData, Worker } = require("node:worker_threads");
const net = require("node:net");
const { once } = require("node:events");
let left = Infinity;
const stopAfter = (calls) => (left = calls);
const { dlopen } = process;
process.dlopen = (module, path) => {
  dlopen.call(process, module, path);
  const { open } = module.exports;
  module.exports = {
    open() {
      const addon = open();
      for (const [name, call] of Object.entries(addon)) {
        if (typeof call !== "function") continue;
        addon[name] = (...values) => {
          const result = call(...values);
          if (--left === 0) {
            parentPort.postMessage(name);
            Atomics.store(workerData.shared, 0, 1);
            Atomics.notify(workerData.shared, 0);
            // Deno ends no wait without a limit.
            for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
          }
          return result;
        };
      }
      return addon;
    },
  };
};
const library = require(workerData.library);
// Loads the addon.
globalThis.loaded = library.UnixStream.pair();
`;

interface Stopping {
  readonly worker: Worker;
  /** The call after which it stopped; null: it made fewer. */
  readonly stopped: Promise<string | null>;
}

const file = (entry: string): string => fileURLToPath(import.meta.resolve(entry));

/** A worker that runs `body` with the library, and stops after a call of the addon. */
function stopping(body: string, data: object): Stopping {
  const worker = new Worker(`${STOPPING}(async () => { ${body}; parentPort.postMessage(null); })();`, {
    eval: true,
    workerData: { library: file("unix-ancillary"), handoff: file("unix-ancillary/handoff"), shared: shared(), ...data },
  });
  const stopped = new Promise<string | null>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  return { worker, stopped };
}

/** Waits until as many descriptors are open as before. */
async function settled(before: number, what: string): Promise<void> {
  for (let turn = 0; turn < 200 && openFds().size !== before; turn++) await sleep(5);
  assert.is(openFds().size, before, what);
}

const PAIR = "const [a, b] = globalThis.kept = library.UnixStream.pair();";

/** What is there before, and the operation. */
const OPERATIONS: Readonly<Record<string, readonly [before: string, operation: string]>> = {
  "a pair": ["", "library.UnixStream.pair()"],
  "a socket": ["", "library.UnixDatagram.unbound()"],
  "a bound socket": ["", "globalThis.kept = library.UnixListener.bind(workerData.path)"],
  "a connection, and its acceptance": [
    "globalThis.listener = library.UnixListener.bind(workerData.path);",
    "globalThis.kept = [library.UnixStream.connectSync(workerData.path), listener.acceptSync()]",
  ],
  "a duplicate": ["", "library.OwnedFd.from(0).dup()"],
  "a memfd, filled and sealed": ["", 'library.memfd("m", { data: "abc", size: 9, seal: true })'],
  "a peer's pidfd": [PAIR, "a.peerPidfd().close()"],
  "received descriptors, and surplus": [`${PAIR} a.sendFdsSync("x", [0, 0, 0]);`, "b.recvFdsSync(1)"],
  "received descriptors that are refused": [
    `${PAIR} a.sendFdsSync("x", [0, 0, 0]);`,
    "try { b.recvFdsExactSync(2) } catch {}",
  ],
  "a message with a pidfd": [
    `${PAIR} b.setPassPidfd(true); a.sendFdsSync("x", [0]);`,
    "const { pidfd, fds } = b.recvFdsSync(1)",
  ],
  "an ancillary buffer, filled and cleared": [
    `${PAIR} a.sendFdsSync("x", [0, 0]); const into = new library.SocketAncillary(64);`,
    "library.recvmsg(b, Buffer.alloc(1), into); into.clear()",
  ],
  "a reader, filled and closed": [
    `${PAIR} a.sendFdsSync("xy", [0, 0]);`,
    "const reader = b.reader(); await reader.read(1); reader.close()",
  ],
  "a socket that takes an OwnedFd over": [PAIR, "library.UnixStream.from(library.OwnedFd.from(a.fd)).close()"],
  "a socket that Node takes over": [PAIR, "a.toSocket().destroy(); b.close()"],
  "a socket of Node that is taken over": [
    `const server = net.createServer((socket) => (globalThis.accepted = socket)).listen(workerData.path);
     await once(server, "listening");
     const socket = net.connect(workerData.path);
     await once(socket, "connect");`,
    "library.UnixStream.from(socket).close()",
  ],
  "a server of Node that is taken over": [
    `const server = net.createServer().listen(workerData.path);
     await once(server, "listening");`,
    "library.UnixListener.from(server).close()",
  ],
  "a connection that a worker takes": [
    `const { takeConnections } = require(workerData.handoff);
     const [front, worker] = library.FdChannel.pair();
     const pair = library.UnixStream.pair();
     await front.send(Buffer.alloc(4), [pair[0]]);`,
    "await new Promise((resolve) => takeConnections(worker, (socket) => resolve(socket.destroy())))",
  ],
  "a number, released and adopted": ["", "library.OwnedFd.fromRaw(library.OwnedFd.from(0).release()).close()"],
};

/** What the kernel must have for some of them. */
const KERNEL: Readonly<Record<string, readonly [available: boolean, what: string]>> = {
  "a peer's pidfd": NEEDS.peerPidfd,
  "a message with a pidfd": NEEDS.passPidfd,
};

for (const [what, [before, operation]] of Object.entries(OPERATIONS)) {
  test.needing(
    ...(KERNEL[what] ?? [true, ""]),
    `a thread is terminated after each call of the addon: ${what}`,
    async () => {
      const open = openFds().size;
      const body = `${before} stopAfter(workerData.calls); ${operation}`;
      let calls = 0;
      for (let stopped: string | null = ""; stopped !== null; ) {
        const one = stopping(body, { calls: ++calls, path: socketPath() });
        stopped = await one.stopped;
        await one.worker.terminate();
        await settled(open, `terminated after call ${calls}, ${stopped}`);
      }
      assert.ok(calls > 1, "no call was met");
    },
  );
}

test("a thread is terminated while it takes what another has left: a third one takes it", async () => {
  const open = openFds().size;
  // The first one stops right after its receive, and is terminated by the second, which takes its descriptors.
  const first = `const [a, b] = globalThis.kept = library.UnixStream.pair(); a.sendFdsSync("x", [0, 0, 0]);
    stopAfter(1); b.recvFdsSync(3)`;
  const second = `
    const pair = globalThis.kept = library.UnixStream.pair();
    const first = new Worker(workerData.first, { eval: true, workerData: { ...workerData, shared: new Int32Array(new SharedArrayBuffer(4)) } });
    if (await new Promise((resolve) => first.once("message", resolve)) !== "recvmsg") throw new Error("not stopped");
    stopAfter(workerData.calls);
    parentPort.postMessage("ready");
    await new Promise((resolve) => parentPort.once("message", resolve));
    await first.terminate();
    await new Promise((resolve) => setTimeout(resolve, 50));
    Atomics.store(workerData.shared, 0, 2);
    Atomics.notify(workerData.shared, 0)`;
  const met: number[] = [];
  for (let calls = 1; calls <= 4; calls++) {
    const state = shared();
    const source = `${STOPPING}(async () => { ${first} })();`;
    const { worker, stopped } = stopping(second, { calls, first: source, shared: state });
    assert.is(await stopped, "ready");
    worker.postMessage("go");
    // This thread has the library too: while it stands still, only the second one can take the descriptors.
    Atomics.wait(state, 0, 0, 10_000);
    met.push(state[0]!);
    await worker.terminate();
    await settled(open, `terminated after call ${calls}`);
  }
  // takeOrphan, settleOrphan, and the close; takeOrphan again finds none.
  assert.is(met[0], 1, "the second thread took nothing");
});

test.run();
