/** The operations of the public API, each small enough that every fault at every system call can be tried. */

import os from "node:os";
import {
  type AncillaryData,
  FdChannel,
  type Frame,
  memfd,
  type OwnedFd,
  type ReceivedFds,
  recvmsg,
  SocketAncillary,
  sendmsg,
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
} from "unix-ancillary";
import { FdDuplex } from "unix-ancillary/stream";
import type { VirtualProcess } from "unix-ancillary/testing";
import { UServer, USocket } from "unix-ancillary/usocket";
import { isSubsequence, Ledger, REASON, type Scenario, Violation, type World } from "./harness.ts";

type Connected = UnixStream | UnixSeqpacket;

/** Sends, and enters what was accepted. */
async function send(
  world: World,
  socket: Connected | UnixDatagram,
  ledger: Ledger,
  length: number,
  fds: number,
): Promise<void> {
  const data = world.bytes(length);
  const { files, names } = world.filesOf(fds);
  const sent = await world.attempt("sendFds", () => socket.sendFds(data, files));
  if (sent !== null) ledger.accepted(data.slice(0, sent), names);
}

/** Sends all, and enters what was accepted, also of one that failed half-way. */
async function sendAll(
  world: World,
  socket: Connected,
  ledger: Ledger,
  length: number,
  fds: number,
  signal?: AbortSignal,
  process = world.processes[0],
): Promise<void> {
  const data = world.bytes(length);
  const { files, names } = world.filesOf(fds, process);
  let progress = { bytesSent: length, fdsSent: true };
  await world.attempt("sendFdsAll", async () => {
    try {
      await socket.sendFdsAll(data, files, signal === undefined ? {} : { signal });
    } catch (error) {
      progress = { bytesSent: 0, fdsSent: false, ...(error as object) };
      throw error;
    }
  });
  ledger.accepted(data.slice(0, progress.bytesSent), progress.fdsSent ? names : []);
}

/** Enters what came, and closes its descriptors. */
function enter(world: World, ledger: Ledger, message: ReceivedFds): void {
  const names = message.fds.map((fd) => world.processes[0].nameOf(fd.fd) ?? "?");
  ledger.came(message.data.toString(), names);
  if (message.surplus > 0 || message.dataTruncated) ledger.lossy();
  message[Symbol.dispose]();
}

/** What a failed receive had brought. */
function enterError(ledger: Ledger, error: unknown): void {
  ledger.lossy();
  const { data } = error as { data?: Uint8Array };
  if (data !== undefined) ledger.came(Buffer.from(data).toString(), []);
}

/** Receives to the end, or to an error that does not go away; whether the end was seen. */
async function receiveAll(
  world: World,
  socket: Connected | UnixDatagram,
  ledger: Ledger,
  receive: () => Promise<ReceivedFds>,
  most = 50,
): Promise<boolean> {
  for (let failures = 0, i = 0; i < most && failures < 3 && !socket.closed; i++) {
    // Entered in the very turn in which it is settled: several of these run at once.
    const eof = await world.attempt("recvFds", () =>
      receive().then(
        (message) => {
          enter(world, ledger, message);
          return message.eof;
        },
        (error) => {
          enterError(ledger, error);
          throw error;
        },
      ),
    );
    if (eof === null) failures++;
    else if (eof) return true;
  }
  return false;
}

/** A send that returns at once; what it says was accepted is entered. */
async function sendNow(
  world: World,
  ledger: Ledger,
  what: string,
  length: number,
  fds: number,
  how: (data: string, files: OwnedFd[]) => number | null,
): Promise<void> {
  const data = world.bytes(length);
  const { files, names } = world.filesOf(fds);
  const sent = await world.attempt(what, () => how(data, files));
  if (sent !== null) ledger.accepted(data.slice(0, sent), names);
}

/** The same of a receive. */
async function takeNow(world: World, ledger: Ledger, what: string, how: () => ReceivedFds): Promise<void> {
  await world.attempt(what, () => {
    try {
      enter(world, ledger, how());
    } catch (error) {
      enterError(ledger, error);
      throw error;
    }
  });
}

type Chunks = readonly (readonly [length: number, fds: number])[];

/** Writes chunks and descriptors to a stream of Node's, then the end. */
async function writeAll(
  world: World,
  stream: FdDuplex | USocket,
  ledger: Ledger,
  chunks: Chunks,
  process: VirtualProcess,
): Promise<void> {
  const writes = chunks.map(([length, count]) => {
    const data = world.bytes(length);
    const { files, names } = world.filesOf(count, process);
    const fds = files.map(({ fd }) => fd);
    ledger.accepted(data, names);
    return streamed(world, "write", (done) => {
      // Waiting chunks are written together, and share the error.
      const written = (error?: Error | null) => {
        if (error) ledger.unsure();
        done(error);
      };
      if (stream instanceof FdDuplex) stream.write(data, { fds }, written);
      else stream.write({ data: Buffer.from(data), fds }, written);
    });
  });
  // A stream that is destroyed calls this, too.
  await Promise.all([...writes, streamed(world, "end", (done) => stream.end(done))]);
}

/** Reads a stream of Node's to its end; whether that was seen. The descriptors of a USocket are numbers. */
async function readToEnd(
  world: World,
  stream: FdDuplex | USocket,
  ledger: Ledger,
  process: VirtualProcess,
): Promise<boolean> {
  let ended = false;
  let putBack = false;
  const take = (): Buffer | null => stream.read();
  await streamed(world, "read", (done) => {
    stream.once("error", done).once("end", () => {
      ended = true;
      done();
    });
    stream.on("readable", () => {
      for (let data = take(); data !== null; data = take()) {
        if (!putBack) {
          putBack = true;
          stream.unshift(data);
          continue;
        }
        let fds: number[];
        if (stream instanceof FdDuplex) {
          const due = stream.fdRanges.filter(({ from }) => from < stream.position);
          fds = stream.takeFds(due.reduce((sum, { count }) => sum + count, 0)).map((fd) => fd.release());
        } else fds = stream.read(0, null)!.fds;
        ledger.came(
          data.toString(),
          fds.map((fd) => process.nameOf(fd) ?? "?"),
        );
        for (const fd of fds) process.platform.system.close(fd);
      }
    });
  });
  return ended;
}

/** Writes to a stream of Node's, and reads it to its end. */
async function exchange(
  world: World,
  stream: FdDuplex | USocket,
  process: VirtualProcess,
  { chunks, sent, came }: { chunks: Chunks; sent: Ledger; came: Ledger },
): Promise<void> {
  world.using({ close: () => void stream.destroy() });
  const reads = readToEnd(world, stream, came, process);
  await writeAll(world, stream, sent, chunks, process);
  const ended = await reads;
  world.finally(() => came.check(ended));
}

/** An operation of a stream of Node's, until it calls back. What was destroyed before has an error of Node's. */
async function streamed(
  world: World,
  what: string,
  start: (done: (error?: (Error & { code?: string }) | null) => void) => void,
): Promise<void> {
  await world.attempt(
    what,
    () =>
      new Promise<void>((resolve, reject) => {
        // `destroy()` by the program is silent.
        world.using({ close: resolve });
        start((error) => (error && !error.code?.startsWith("ERR_STREAM_") ? reject(error) : resolve()));
      }),
  );
}

/** What received descriptors are; closed at the end. */
function namesOf(world: World, fds: readonly OwnedFd[]): string[] {
  return fds.map((fd) => world.processes[0].nameOf(world.using(fd).fd)!);
}

/** Two ends of a connection, the second one in the second process. */
async function connected(world: World): Promise<[UnixStream | null, UnixStream | null]> {
  const listener = await world.attempt("bind", () => world.using(UnixListener.bind("/socket", world.platform)));
  if (listener === null) return [null, null];
  const accepting = world.attempt("accept", () => listener.accept());
  const there = await world.attempt("connect", () => UnixStream.connect("/socket", world.otherPlatform));
  if (there !== null) world.using(there);
  else await world.attempt("close", () => listener.close());
  const here = await accepting;
  if (here !== null) world.using(here);
  return [here, there];
}

function ledgerOf(world: World, finished: () => boolean): Ledger {
  const ledger = new Ledger();
  world.finally(() => ledger.check(finished()));
  return ledger;
}

/** What only a peer that breaks the protocol is answered. */
const BROKEN = /^ERR_CHANNEL_(MAGIC|VERSION|FLAGS|PAYLOAD_TOO_LARGE|TOO_MANY_FDS|FD_COUNT)$/;

/**
 * Frames that take several messages and records, between two processes. Sends and receives are aborted at any time; whatever
 * happens, what comes are the frames that were sent, whole, numbered without a gap.
 */
async function framesOfSeveralMessages(world: World, type: "stream" | "seqpacket"): Promise<void> {
  const options = { maxFds: 10, frameTimeout: 100 };
  const listener = await world.attempt("bind", () =>
    world.using(UnixListener.bind("/socket", { ...world.platform, type })),
  );
  if (listener === null) return;
  const accepting = world.attempt("accept", () => listener.accept());
  const connect = type === "stream" ? UnixStream.connect : UnixSeqpacket.connect;
  const client = await world.attempt("connect", async () => world.using(await connect("/socket", world.otherPlatform)));
  // Nobody comes: it would wait for ever.
  if (client === null) listener.close();
  const server = await accepting;
  if (client === null || server === null) {
    server?.close();
    return;
  }
  const [a, b] = [world.using(FdChannel.over(client, options)), world.using(FdChannel.over(server, options))];

  const sent: string[] = [];
  const kept = new Set<string>();
  const came: string[] = [];
  const frames = [
    [3, 1],
    [1, 0],
    [90, 9],
    [0, 0],
    [0, 10],
    [70, 5],
  ] as const;
  const aborted = world.random(2 * frames.length);
  const abort = new AbortController();
  const sending = frames.map(async ([length, fds], i) => {
    const data = world.bytes(length);
    const files = Array.from({ length: fds }, () => world.file(world.processes[1]));
    const frame = `${data} ${files.map((file) => world.processes[1].nameOf(file.fd))}`;
    sent.push(frame);
    const id = await world.attempt("send", () => a.send(data, files, i === aborted ? { signal: abort.signal } : {}));
    if (id !== null) kept.add(frame);
  });
  const finished = Promise.all(sending).then(() => world.attempt("close", () => a.close()));
  const aborting = (async () => {
    for (let turns = world.random(50); turns > 0; turns--) await null;
    abort.abort(REASON);
  })();

  let ended = false;
  for (let failures = 0; failures < 2 && !ended; ) {
    const impatient = new AbortController();
    const receiving = world.attempt("recv", () =>
      b.recv({ signal: impatient.signal }).then(
        (frame) => frame ?? "end",
        (error) => {
          if (BROKEN.test(error.code)) throw new Violation(`an honest peer broke the protocol: ${error.stack}`);
          throw error;
        },
      ),
    );
    if (world.random(3) === 0) {
      for (let turns = world.random(30); turns > 0; turns--) await null;
      impatient.abort(REASON);
    }
    const frame = await receiving;
    if (frame === "end") ended = true;
    else if (frame === null) failures += impatient.signal.aborted ? 0 : 1;
    else {
      came.push(`${frame.payload} ${frame.fds.map((fd) => world.processes[0].nameOf(fd.fd))}`);
      if (frame.messageId !== BigInt(came.length))
        throw new Violation(`frame ${frame.messageId} came as ${came.length}`);
      frame[Symbol.dispose]();
    }
  }
  await aborting;
  world.finally(() => {
    if (!isSubsequence(came, sent)) throw new Violation(`frames ${came.join("; ")}, sent ${sent.join("; ")}`);
    for (const frame of ended ? kept : []) if (!came.includes(frame)) throw new Violation(`frame ${frame} was lost`);
  });
  b.close();
  await finished;
}

export const scenarios: readonly Scenario[] = [
  {
    name: "stream: sends and receives",
    async run(world) {
      const [a, b] = world.usingBoth(UnixStream.pair(world.platform));
      let finished = false;
      const ledger = ledgerOf(world, () => finished);
      const receiving = receiveAll(world, b, ledger, () => b.recvFds(4));
      await send(world, a, ledger, 5, 1);
      await send(world, a, ledger, 3, 0);
      await send(world, a, ledger, 2, 2);
      await world.attempt("close", () => a.close());
      finished = await receiving;
    },
  },
  {
    name: "stream: more than fits, descriptors once",
    async run(world) {
      const [a, b] = world.usingBoth(UnixStream.pair(world.platform));
      let finished = false;
      const ledger = ledgerOf(world, () => finished);
      const receiving = receiveAll(world, b, ledger, () => b.recvFds(4, { bufferSize: 50 }));
      await sendAll(world, a, ledger, 150, 2);
      await sendAll(world, a, ledger, 1, 1);
      await world.attempt("shutdown", () => a.shutdown("write"));
      finished = await receiving;
    },
  },
  {
    name: "stream: synchronous",
    async run(world) {
      const [a, b] = world.usingBoth(UnixStream.pair(world.platform));
      const ledger = ledgerOf(world, () => false);
      const receive = () => {
        try {
          const message = b.tryRecvFds(3);
          if (message === null) return false;
          enter(world, ledger, message);
          return true;
        } catch (error) {
          enterError(ledger, error);
          world.checkError("tryRecvFds", error);
          return true;
        }
      };
      world.kernel.whileWaiting = receive;
      for (const [length, fds] of [
        [4, 1],
        [80, 0],
        [3, 3],
      ] as const) {
        const data = world.bytes(length);
        const { files, names } = world.filesOf(fds);
        let sent: { bytesSent: number; fdsSent: boolean } = { bytesSent: length, fdsSent: true };
        await world.attempt("sendFdsAllSync", () => {
          try {
            a.sendFdsAllSync(data, files, { timeout: 20 });
          } catch (error) {
            sent = { bytesSent: 0, fdsSent: false, ...(error as object) };
            throw error;
          } finally {
            ledger.accepted(data.slice(0, sent.bytesSent), sent.fdsSent ? names : []);
          }
        });
      }
      world.kernel.whileWaiting = null;
      await world.attempt("recvFdsSync", () => {
        try {
          enter(world, ledger, b.recvFdsSync(3, { timeout: 5 }));
        } catch (error) {
          enterError(ledger, error);
          throw error;
        }
      });
    },
  },
  {
    name: "stream: exactly so many",
    async run(world) {
      const [a, b] = world.usingBoth(UnixStream.pair(world.platform));
      const ledger = ledgerOf(world, () => false);
      for (const fds of [2, 1, 3]) {
        await send(world, a, ledger, 4, fds);
        await receiveAll(world, b, ledger, () => b.recvFdsExact(2), 1);
      }
    },
  },
  {
    name: "stream: into the caller's buffers, fewer descriptors than come",
    async run(world) {
      const [a, b] = world.usingBoth(UnixStream.pair(world.platform));
      let finished = false;
      const ledger = ledgerOf(world, () => finished);
      await send(world, a, ledger, 9, 3);
      await send(world, a, ledger, 9, 1);
      await world.attempt("close", () => a.close());
      finished = await receiveAll(world, b, ledger, async () => {
        const buffers = [new Uint8Array(2), new Uint8Array(0), new Uint8Array(5)];
        const message = await b.recvFdsInto(buffers, 1);
        const data = Buffer.concat(buffers, message.bytesRead);
        return Object.assign(message, { data }) as unknown as ReceivedFds;
      });
    },
  },
  {
    name: "stream: aborted at any time",
    async run(world) {
      const [a, b] = world.usingBoth(UnixStream.pair(world.platform));
      const ledger = ledgerOf(world, () => false);
      const abort = new AbortController();
      const receiving = world.attempt("recvFds", async () => {
        try {
          enter(world, ledger, await b.recvFds(2, { bufferSize: 20, signal: abort.signal }));
        } catch (error) {
          if (error !== REASON) enterError(ledger, error);
          throw error;
        }
      });
      for (let turns = world.random(10); turns > 0; turns--) await null;
      const sending = sendAll(world, a, ledger, 100, 2, abort.signal);
      for (let turns = world.random(10); turns > 0; turns--) await null;
      abort.abort(REASON);
      await receiving;
      // Nothing was lost: what is left comes now.
      for (let i = 0; i < 12; i++) {
        await world.attempt("tryRecvFds", () => {
          try {
            const message = b.tryRecvFds(2);
            if (message !== null) enter(world, ledger, message);
          } catch (error) {
            enterError(ledger, error);
            throw error;
          }
        });
        await null;
      }
      await sending;
      await send(world, a, ledger, 2, 1);
      await receiveAll(world, b, ledger, () => b.recvFds(2), 1);
    },
  },
  {
    name: "stream: closed while operations wait",
    async run(world) {
      const [a, b] = world.usingBoth(UnixStream.pair(world.platform));
      const ledger = ledgerOf(world, () => false);
      const waiting = [
        ...Array.from({ length: 3 }, () => receiveAll(world, b, ledger, () => b.recvFds(1), 1)),
        sendAll(
          world,
          b,
          ledgerOf(world, () => false),
          100,
          1,
        ),
        send(world, a, ledger, 3, 1),
      ];
      for (let turns = world.random(40); turns > 0; turns--) await null;
      await world.attempt("close", () => b.close());
      await Promise.all(waiting);
    },
  },
  {
    name: "stream: many at once, in the order of the calls",
    async run(world) {
      const [a, b] = world.usingBoth(UnixStream.pair(world.platform));
      let finished = false;
      const ledger = ledgerOf(world, () => finished);
      const receiving = Promise.all(
        Array.from({ length: 4 }, () => receiveAll(world, b, ledger, () => b.recvFds(1, { bufferSize: 30 }))),
      );
      await Promise.all([
        sendAll(world, a, ledger, 70, 1),
        sendAll(world, a, ledger, 20, 1),
        sendAll(world, a, ledger, 3, 0),
      ]);
      await world.attempt("close", () => a.close());
      finished = (await receiving).every(Boolean);
    },
  },
  {
    name: "stream: iterated, and left early",
    async run(world) {
      const [a, b] = world.usingBoth(UnixStream.pair(world.platform));
      const ledger = ledgerOf(world, () => false);
      await send(world, a, ledger, 2, 1);
      await send(world, a, ledger, 2, 2);
      await send(world, a, ledger, 2, 1);
      await world.attempt("messages", async () => {
        let count = 0;
        try {
          for await (const message of b.messages(4)) {
            enter(world, ledger, message);
            if (++count === 2) break;
          }
        } catch (error) {
          enterError(ledger, error);
          throw error;
        }
      });
    },
  },
  {
    name: "connection: bound, connected, accepted, in two processes",
    peer: true,
    async run(world) {
      const listener = await world.attempt("bind", () =>
        world.using(UnixListener.bind("/socket", { ...world.platform, mode: 0o600 })),
      );
      if (listener === null) return;
      const accepting = world.attempt("accept", () => listener.accept());
      const client = await world.attempt("connect", () => UnixStream.connect("/socket", world.otherPlatform));
      if (client !== null) world.using(client);
      const server = await accepting;
      if (server !== null) world.using(server);
      if (client !== null && server !== null) {
        await world.attempt("peerCredentials", () => server.peerCredentials());
        const file = world.file(world.processes[1]);
        await world.attempt("sendFds", () => client.sendFds("x", [file]));
        await world.attempt("close", () => client.close());
        for (let eof = false, i = 0; !eof && i < 3; i++) {
          const message = await world.attempt("recvFds", () => server.recvFds(1));
          eof = message?.eof ?? false;
          message?.[Symbol.dispose]();
        }
      }
      await world.attempt("close", () => listener.close());
    },
  },
  {
    name: "connection: a dead socket at the path is replaced, and one of another type refused",
    systems: /^(?!darwin)/,
    peer: true,
    async run(world) {
      const dead = await world.attempt("bind", () => world.using(UnixListener.bind("/socket", world.otherPlatform)));
      if (dead === null) return;
      world.processes[1].kill();
      const listener = await world.attempt("bind", () => world.using(UnixListener.bind("/socket", world.platform)));
      if (listener === null) return;
      await world.attempt("bind", () => world.using(UnixListener.bind("/socket", world.platform)));
      const client = await world.attempt("connectSync", () =>
        world.using(UnixStream.connectSync("/socket", world.platform)),
      );
      await world.attempt("connectSync", () => world.using(UnixSeqpacket.connectSync("/socket", world.platform)));
      const server = await world.attempt("acceptSync", () => world.using(listener.acceptSync({ timeout: 5 })));
      if (client !== null && server !== null)
        await world.attempt("sendFdsSync", () => client.sendFdsSync("x", [listener]));
    },
  },
  {
    name: "names: another process binds at any moment of a bind over a dead name",
    async run(world) {
      const { kernel, processes } = world;
      const dead = await world.attempt("bind", () => UnixListener.bind("/dead", world.platform));
      processes[0].platform.system.rename("/dead", "/socket");
      await world.attempt("close", () => dead?.close());
      const bind = [
        () => UnixListener.bind("/socket", { platform: processes[0].platform, mode: 0o600 }),
        () => UnixDatagram.bind("/socket", { platform: processes[1].platform }),
      ] as const;
      let bound = 0;
      const attempt = (which: 0 | 1): void => {
        try {
          world.using<{ close(): void }>(bind[which]());
          bound++;
        } catch (error) {
          world.checkError("bind", error);
        }
      };
      const { fault } = kernel;
      // The first values of neighbouring seeds are alike.
      world.random(2);
      let calls = world.random(20);
      kernel.fault = (call) => {
        if (call.process === processes[0] && calls-- === 0) attempt(1);
        return fault!(call);
      };
      attempt(0);
      if (bound > 1) throw new Violation("two sockets are bound to one name");
      if (bound === 1) {
        kernel.fault = null;
        const { system, constants } = processes[1].platform;
        const probe = system.socket(constants.SOCK_DGRAM!);
        const answer = system.connect(probe, Buffer.from("/socket"));
        system.close(probe);
        // Of another type is there all the same.
        if (answer < 0 && answer !== -os.constants.errno.EPROTOTYPE)
          throw new Violation("the socket that is bound cannot be reached");
      }
      kernel.fault = fault;
    },
  },
  {
    name: "datagrams: named, with descriptors, more than the receiver takes",
    async run(world) {
      const receiver = await world.attempt("bind", () => world.using(UnixDatagram.bind("/receiver", world.platform)));
      const sender = await world.attempt("unbound", () => world.using(UnixDatagram.unbound(world.platform)));
      if (receiver === null || sender === null) return;
      const ledger = ledgerOf(world, () => false);
      const sendTo = async (length: number, fds: number): Promise<void> => {
        const data = world.bytes(length);
        const { files, names } = world.filesOf(fds);
        const sent = await world.attempt("sendFdsTo", () => sender.sendFdsTo(data, files, "/receiver"));
        if (sent !== null) ledger.accepted(data, names);
      };
      const sending = (async () => {
        for (const [length, fds] of [
          [3, 1],
          [0, 1],
          [2, 0],
          [5, 2],
          [1, 0],
        ] as const)
          await sendTo(length, fds);
      })();
      await receiveAll(
        world,
        receiver,
        ledger,
        () => receiver.recvFdsFrom(2, { bufferSize: 4, allowTruncated: true }),
        5,
      );
      await world.attempt("close", () => receiver.close());
      await sending;
    },
  },
  {
    name: "datagrams: a connected pair",
    async run(world) {
      const [a, b] = world.usingBoth(UnixDatagram.pair(world.platform));
      const ledger = ledgerOf(world, () => false);
      const sending = (async () => {
        for (let i = 0; i < 5; i++) await send(world, a, ledger, i, i % 3);
      })();
      await receiveAll(world, b, ledger, () => b.recvFds(3), 5);
      await world.attempt("close", () => b.close());
      await sending;
    },
  },
  {
    name: "records: longer than the buffer, empty, and the end",
    systems: /^(?!darwin)/,
    async run(world) {
      const [a, b] = world.usingBoth(UnixSeqpacket.pair(world.platform));
      let finished = false;
      const ledger = ledgerOf(world, () => finished);
      const receiving = receiveAll(world, b, ledger, () => b.recvFds(2, { bufferSize: 6 }));
      for (const [length, fds] of [
        [4, 1],
        [9, 2],
        [0, 1],
        [0, 0],
        [6, 0],
      ] as const)
        await send(world, a, ledger, length, fds);
      await world.attempt("close", () => a.close());
      finished = await receiving;
    },
  },
  {
    name: "reader: bytes and descriptors in step",
    async run(world) {
      const [a, b] = world.usingBoth(UnixStream.pair(world.platform));
      const sent = new Ledger();
      const sending = (async () => {
        await sendAll(world, a, sent, 10, 1);
        await sendAll(world, a, sent, 90, 2);
        await world.attempt("close", () => a.close());
      })();
      await world.attempt("reader", async () => {
        const reader = b.reader({ maxQueuedBytes: 16 });
        const first = await reader.read(10);
        sent.came(
          first.toString(),
          reader.takeFds(1).map((fd) => {
            const name = world.processes[0].nameOf(fd.fd)!;
            world.using(fd);
            return name;
          }),
        );
        const second = await reader.read(90);
        sent.came(second.toString(), []);
        for (const fd of reader.takeFds(reader.queuedFds)) {
          sent.came("", [world.processes[0].nameOf(fd.fd)!]);
          world.using(fd);
        }
        await reader.ended();
        reader[Symbol.dispose]();
      });
      await sending;
      world.finally(() => sent.check(false));
    },
  },
  {
    name: "reader: closed with descriptors in it",
    async run(world) {
      const [a, b] = world.usingBoth(UnixStream.pair(world.platform));
      const ledger = new Ledger();
      await send(world, a, ledger, 5, 2);
      await world.attempt("reader", async () => {
        const reader = b.reader();
        await reader.read(2);
        const waiting = world.attempt("readUntil", () => reader.readUntil(";", 100));
        for (let turns = world.random(20); turns > 0; turns--) await null;
        reader.close();
        await waiting;
      });
    },
  },
  {
    name: "low level: sendmsg and recvmsg",
    async run(world) {
      const [a, b] = world.usingBoth(UnixStream.pair(world.platform));
      const ledger = ledgerOf(world, () => false);
      const out = new SocketAncillary(256, world.platform);
      const into = new SocketAncillary(256, world.platform);
      world.using({ close: () => into.clear() });
      for (const fds of [1, 3, 0]) {
        const { files, names } = world.filesOf(fds);
        const data = world.bytes(5);
        const sent = await world.attempt("sendmsg", () => {
          out.clear();
          if (fds > 0) out.addFds(files);
          return sendmsg(a, data, out, { ...world.platform, wait: true, timeout: 5 });
        });
        if (sent !== null) ledger.accepted(data.slice(0, sent), names);
        const buffer = Buffer.alloc(16);
        const result = await world.attempt("recvmsg", () => {
          try {
            return recvmsg(b, buffer, into, world.platform);
          } catch (error) {
            enterError(ledger, error);
            throw error;
          }
        });
        if (result === null) continue;
        const came: string[] = [];
        for (const message of into.messages() as Iterable<AncillaryData>) {
          if (message.kind !== "rights") continue;
          for (const fd of message.fds) {
            came.push(world.processes[0].nameOf(fd.fd)!);
            await world.attempt("close", () => fd.close());
          }
        }
        if (result.ancillaryTruncated) ledger.lossy();
        ledger.came(buffer.toString("latin1", 0, result.bytesRead), came);
      }
    },
  },
  {
    name: "low level: too little room, and none",
    async run(world) {
      const [a, b] = world.usingBoth(UnixStream.pair(world.platform));
      const out = new SocketAncillary(256, world.platform);
      const into = new SocketAncillary(24, world.platform);
      world.using({ close: () => into.clear() });
      await world.attempt("low level", () => {
        out.addFds([world.file(), world.file(), world.file()]);
        sendmsg(a, "x", out, world.platform);
        recvmsg(b, Buffer.alloc(4), into, world.platform);
        sendmsg(a, "y", out, world.platform);
        recvmsg(b, Buffer.alloc(4), null, world.platform);
        sendmsg(a, "z", out, world.platform);
        recvmsg(b, Buffer.alloc(4), into, world.platform);
      });
    },
  },
  {
    name: "who sent it: credentials and a pidfd",
    systems: /^linux/,
    async run(world) {
      const [a, b] = world.usingBoth(UnixStream.pair(world.platform));
      const ledger = ledgerOf(world, () => false);
      await world.attempt("options", () => {
        b.setPassCredentials(true);
        b.setPassPidfd(true);
        b.setPassSecurity(true);
      });
      await send(world, a, ledger, 4, 2);
      await receiveAll(world, b, ledger, () => b.recvFds(1), 1);
      await world.attempt("setPassPidfd", () => world.using(b.peerPidfd()));
      await world.attempt("peerGroups", () => b.peerGroups());
      await world.attempt("peerSecurity", () => b.peerSecurity());
      await world.attempt("getOption", () =>
        b.setOption("SOL_SOCKET", "SO_SNDBUF", b.getOption("SOL_SOCKET", "SO_SNDBUF")),
      );
      await send(world, a, ledger, 4, 0);
      await world.attempt("close", () => a.close());
      await receiveAll(world, b, ledger, () => b.recvFds(1), 2);
    },
  },
  {
    name: "who sent it: a pidfd that nobody asked for",
    systems: /^linux/,
    async run(world) {
      const [a, b] = world.usingBoth(UnixStream.pair(world.platform));
      const { system, abi } = world.processes[0].platform;
      await world.attempt("setsockopt", () => {
        system.setsockopt(b.fd, abi.SOL_SOCKET, abi.SO_PASSPIDFD!, 1);
      });
      const ledger = ledgerOf(world, () => false);
      await send(world, a, ledger, 4, 1);
      await receiveAll(world, b, ledger, () => b.recvFds(1), 1);
    },
  },
  {
    name: "descriptors refused: by a socket, and by what a listener accepts",
    systems: /^linux/,
    async run(world) {
      const listener = await world.attempt("bind", () => world.using(UnixListener.bind("/socket", world.platform)));
      if (listener === null) return;
      const ledger = ledgerOf(world, () => false);
      const waiting = await world.attempt("connect", () => UnixStream.connect("/socket", world.platform));
      if (waiting === null) return;
      world.using(waiting);
      await send(world, waiting, ledger, 2, 1);
      let refuses = false;
      await world.attempt("setPassRights", () => {
        listener.setPassRights(false);
        refuses = true;
      });
      if (!refuses) return;
      const accepted = await world.attempt("accept", () => listener.accept());
      if (accepted === null) return;
      world.using(accepted);
      const refused = await world.attempt("sendFds", () => waiting.sendFds("x", [world.file()]));
      if (refused !== null) throw new Violation("a socket took descriptors that it refuses");
      await send(world, waiting, ledger, 2, 0);
      await world.attempt("setPassRights", () => accepted.setPassRights(true));
      await world.attempt("close", () => waiting.close());
      await receiveAll(world, accepted, ledger, () => accepted.recvFds(1), 3);
    },
  },
  {
    name: "channel: frames, more descriptors than expected of one, and the end",
    async run(world) {
      const channels = await world.attempt("pair", () =>
        world.usingBoth(FdChannel.pair({ ...world.platform, maxFds: 4, frameTimeout: 100 })),
      );
      if (channels === null) return;
      const [a, b] = channels;
      const sent: string[] = [];
      const came: string[] = [];
      const sending = (async () => {
        for (const [length, fds] of [
          [3, 1],
          [90, 2],
          [0, 0],
        ] as const) {
          const data = world.bytes(length);
          const { files, names } = world.filesOf(fds);
          // What cannot be said to have been sent may have come all the same: its last byte was taken.
          sent.push(`${data} ${names}`);
          await world.attempt("send", () => a.send(data, files));
        }
        await world.attempt("close", () => a.close());
      })();
      for (let failures = 0; failures < 2; ) {
        const frame = await world.attempt("recv", () => b.recv());
        if (frame === null) {
          failures++;
          continue;
        }
        came.push(`${frame.payload} ${frame.fds.map((fd) => world.processes[0].nameOf(fd.fd))}`);
        frame[Symbol.dispose]();
      }
      await sending;
      world.finally(() => {
        if (!isSubsequence(came, sent)) throw new Violation(`frames ${came.join("; ")}, sent ${sent.join("; ")}`);
      });
    },
  },
  ...(["stream", "seqpacket"] as const).map(
    (type): Scenario => ({
      name: `channel: several messages a frame, any of them aborted, over a ${type}`,
      ...(type === "seqpacket" ? { systems: /^(?!darwin)/ } : {}),
      run: (world) => framesOfSeveralMessages(world, type),
    }),
  ),
  {
    name: "channel: closed, and aborted, with frames on the way",
    async run(world) {
      const channels = await world.attempt("pair", () => world.usingBoth(FdChannel.pair(world.platform)));
      if (channels === null) return;
      const [a, b] = channels;
      const abort = new AbortController();
      const waiting = [
        world.attempt("send", () => a.send(world.bytes(90), [world.file()], { signal: abort.signal })),
        world.attempt("send", () => a.send("x", [world.file()])),
        world.attempt("recv", async () => (await b.recv({ signal: abort.signal }))?.[Symbol.dispose]()),
        world.attempt("recv", async () => (await b.recv())?.[Symbol.dispose]()),
      ];
      for (let turns = world.random(40); turns > 0; turns--) await null;
      abort.abort(REASON);
      for (let turns = world.random(20); turns > 0; turns--) await null;
      await world.attempt("close", () => b.close());
      await Promise.all(waiting);
    },
  },
  {
    name: "channel: a socket that its sender closes, acknowledged",
    async run(world) {
      const acknowledges = ({ payload }: Frame) => (/^\d+$/.test(String(payload)) ? BigInt(String(payload)) : null);
      const channels = await world.attempt("pair", () =>
        world.usingBoth(FdChannel.pair({ ...world.platform, acknowledges })),
      );
      if (channels === null) return;
      const [a, b] = channels;
      const [c, d] = world.usingBoth(UnixStream.pair(world.platform));
      const [e] = world.usingBoth(UnixStream.pair(world.platform));
      let finished = false;
      const ledger = ledgerOf(world, () => finished);
      await send(world, c, ledger, 3, 1);
      const id = await world.attempt("send", () => a.send("take it", [d]));
      // On Darwin the second close makes a socket useless that only messages refer to.
      for (const one of [d, e]) await world.attempt("close", () => one.close());
      if (id === null) return;
      const frame = await world.attempt("recv", () => b.recv());
      if (frame === null) return;
      const fd = world.using(frame.fds[0]!);
      const answered = await world.attempt("send", () => b.send(String(frame.messageId)));
      if (answered !== null) await world.attempt("recv", async () => (await a.recv())?.[Symbol.dispose]());
      const taken = await world.attempt("from", () => world.using(UnixStream.from(fd)));
      await world.attempt("close", () => c.close());
      if (taken !== null) finished = await receiveAll(world, taken, ledger, () => taken.recvFds(1));
    },
  },
  {
    name: "stream: synchronous and trying variants",
    async run(world) {
      const [a, b] = world.usingBoth(UnixStream.pair(world.platform));
      const ledger = ledgerOf(world, () => false);
      const now = (what: string, length: number, fds: number, how: (data: string, files: OwnedFd[]) => number | null) =>
        sendNow(world, ledger, what, length, fds, how);
      await now("sendFdsSync", 4, 1, (data, files) => a.sendFdsSync(data, files, { timeout: 5 }));
      await takeNow(world, ledger, "recvFdsExactSync", () => b.recvFdsExactSync(1, { timeout: 5 }));
      await now("trySendFds", 5, 2, (data, files) => a.trySendFds(data, files));
      await takeNow(world, ledger, "recvFdsIntoSync", () => {
        const into = new Uint8Array(8);
        const message = b.recvFdsIntoSync(into, 1, { timeout: 5 });
        return Object.assign(message, { data: Buffer.from(into.subarray(0, message.bytesRead)) });
      });
      await now("sendFdsSync", 3, 0, (data) => a.sendFdsSync(Buffer.from(data), []));
      await takeNow(world, ledger, "recvFdsSync", () => b.recvFdsSync(1, { timeout: 0 }));
      await takeNow(world, ledger, "recvFdsSync", () => b.recvFdsSync(1, { timeout: 5 }));
    },
  },
  {
    name: "stream: shut down in each way, and names",
    async run(world) {
      const [a, b] = world.usingBoth(UnixStream.pair(world.platform));
      let finished = false;
      const ledger = ledgerOf(world, () => finished);
      await send(world, a, ledger, 4, 1);
      await world.attempt("address", () => [a.ref().address, b.unref().peerAddress]);
      await world.attempt("shutdown", () => b.shutdown("write"));
      await world.attempt("shutdown", () => a.shutdown("read"));
      await world.attempt("shutdown", () => a.shutdown());
      finished = await receiveAll(world, b, ledger, () => b.recvFds(1));
      await world.attempt("recvFds", async () => (await a.recvFds(1))[Symbol.dispose]());
      await send(world, a, new Ledger(), 1, 1);
      await world.attempt("asyncDispose", () => a[Symbol.asyncDispose]());
      await world.attempt("dispose", () => b[Symbol.dispose]());
    },
  },
  {
    name: "stream: iterated to the end",
    async run(world) {
      const [a, b] = world.usingBoth(UnixStream.pair(world.platform));
      let finished = false;
      const ledger = ledgerOf(world, () => finished);
      const sending = (async () => {
        await sendAll(world, a, ledger, 70, 2);
        await world.attempt("close", () => a.close());
      })();
      await world.attempt("iterate", async () => {
        try {
          for await (const message of b) enter(world, ledger, message);
          finished = true;
        } catch (error) {
          enterError(ledger, error);
          throw error;
        }
      });
      await sending;
    },
  },
  {
    name: "peer: dies in the middle of what it sends",
    peer: true,
    async run(world) {
      const [here, there] = await connected(world);
      if (here === null || there === null) return;
      let finished = false;
      const ledger = ledgerOf(world, () => finished);
      const sending = (async () => {
        await sendAll(world, there, ledger, 150, 3, undefined, world.processes[1]);
        await sendAll(world, there, ledger, 5, 1, undefined, world.processes[1]);
        await world.attempt("close", () => there.close());
      })();
      finished = await receiveAll(world, here, ledger, () => here.recvFds(3, { bufferSize: 40 }));
      await sending;
    },
  },
  {
    name: "peer: dies while it is sent to, its descriptors among what is on the way",
    peer: true,
    async run(world) {
      const [here, there] = await connected(world);
      if (here === null || there === null) return;
      const ledger = ledgerOf(world, () => false);
      const sending = sendAll(world, here, ledger, 100, 2);
      // A socket in flight in its own queue: whoever holds it last is gone.
      await world.attempt("sendFds", () => there.sendFds("!", [there, world.file(world.processes[1])]));
      const names = (message: ReceivedFds) =>
        ledger.came(
          message.data.toString(),
          message.fds.map((fd) => world.processes[1].nameOf(fd.fd) ?? "?"),
        );
      for (let i = 0; i < 2; i++) {
        await world.attempt("recvFds", async () => {
          try {
            const message = await there.recvFds(2);
            if (world.processes[1].alive) names(message);
            message[Symbol.dispose]();
          } catch (error) {
            enterError(ledger, error);
            throw error;
          }
        });
      }
      await world.attempt("close", () => there.close());
      await sending;
      await world.attempt("recvFds", async () => (await here.recvFds(1))[Symbol.dispose]());
    },
  },
  {
    name: "passed: a socket is sent, taken over, and used",
    async run(world) {
      const [a, b] = world.usingBoth(UnixStream.pair(world.platform));
      const [c, d] = world.usingBoth(UnixStream.pair(world.platform));
      const ledger = ledgerOf(world, () => false);
      await world.attempt("sendFds", () => a.sendFds("take it", [d]));
      await world.attempt("close", () => d.close());
      await world.attempt("from", async () => {
        const message = await b.recvFds(1);
        const [fd] = message.fds;
        if (fd === undefined) return;
        world.using(fd);
        await world.attempt("from", () => UnixDatagram.from(fd));
        const taken = world.using(UnixStream.from(fd));
        await send(world, c, ledger, 3, 1);
        await receiveAll(world, taken, ledger, () => taken.recvFds(1), 1);
      });
    },
  },
  {
    name: "passed: a socket in its own queue, and two in each other's",
    async run(world) {
      const [a, b] = world.usingBoth(UnixStream.pair(world.platform));
      const [c, d] = world.usingBoth(UnixStream.pair(world.platform));
      await world.attempt("sendFds", () => a.sendFds("x", [b, world.file()]));
      await world.attempt("sendFds", () => c.sendFds("x", [b]));
      await world.attempt("sendFds", () => a.sendFds("x", [d]));
      await world.attempt("close", () => b.close());
      await world.attempt("close", () => d.close());
      await world.attempt("recvFds", async () => (await a.recvFds(1))[Symbol.dispose]());
    },
  },
  {
    name: "listener: iterated, an option for what it accepts, closed while it waits",
    async run(world) {
      const listener = await world.attempt("bind", () =>
        world.using(UnixListener.bind("/socket", { ...world.platform, backlog: 1 })),
      );
      if (listener === null) return;
      if (world.kernel.abi.os === "linux") {
        await world.attempt("options", () => {
          listener.setPassCredentials(true);
          listener.setPassPidfd(true);
          listener.setPassSecurity(false);
        });
      }
      const accepting = world.attempt("iterate", async () => {
        for await (const server of listener) {
          world.using(server);
          await world.attempt("recvFds", async () => (await server.recvFds(1))[Symbol.dispose]());
          await world.attempt("close", () => server.close());
        }
      });
      for (let i = 0; i < 2; i++) {
        const client = await world.attempt("connect", () => UnixStream.connect("/socket", world.platform));
        if (client === null) continue;
        world.using(client);
        await world.attempt("sendFds", () => client.sendFds("x", [world.file()]));
      }
      for (let turns = world.random(30); turns > 0; turns--) await null;
      await world.attempt("close", () => listener.close());
      await accepting;
    },
  },
  {
    name: "listener: a full backlog, aborted on both sides",
    async run(world) {
      const listener = await world.attempt("bind", () =>
        world.using(UnixListener.bind("/socket", { ...world.platform, backlog: 0 })),
      );
      if (listener === null) return;
      const abort = new AbortController();
      const { signal } = abort;
      const clients = Promise.all(
        [0, 1, 2].map(() =>
          world.attempt("connect", async () => {
            world.using(await UnixStream.connect("/socket", { ...world.platform, signal }));
          }),
        ),
      );
      for (let turns = world.random(20); turns > 0; turns--) await null;
      await world.attempt("accept", async () => world.using(await listener.accept({ signal })));
      abort.abort(REASON);
      await clients;
      await world.attempt("acceptSync", () => world.using(listener.acceptSync({ timeout: 1 })));
      await world.attempt("accept", () => listener.accept({ signal }));
    },
  },
  {
    name: "listener: passed on with a connection that waits",
    async run(world) {
      const [a, b] = world.usingBoth(UnixStream.pair(world.platform));
      const listener = await world.attempt("bind", () => world.using(UnixListener.bind("/socket", world.platform)));
      if (listener === null) return;
      const client = await world.attempt("connectSync", () =>
        world.using(UnixStream.connectSync("/socket", world.platform)),
      );
      await world.attempt("sendFds", () => client?.sendFds("x", [world.file()]));
      await world.attempt("sendFds", () => a.sendFds("x", [listener]));
      await world.attempt("close", () => listener.close());
      await world.attempt("from", async () => {
        const message = await b.recvFds(1);
        if (message.fds.length === 0) return;
        const taken = world.using(UnixListener.from(world.using(message.fds[0]!)));
        const server = world.using(await taken.accept());
        (await server.recvFds(1))[Symbol.dispose]();
      });
    },
  },
  {
    name: "listener: abstract",
    systems: /^linux/,
    async run(world) {
      const listener = await world.attempt("bind", () => world.using(UnixListener.bind("\0name", world.platform)));
      if (listener === null) return;
      await world.attempt("bind", () => world.using(UnixListener.bind("\0name", world.platform)));
      const client = await world.attempt("connect", () => UnixStream.connect("\0name", world.platform));
      if (client !== null) world.using(client);
      await world.attempt("accept", () => world.using(listener.acceptSync({ timeout: 0 })));
    },
  },
  {
    name: "records: connected, read as bytes, taken over",
    systems: /^(?!darwin)/,
    async run(world) {
      const listener = await world.attempt("bind", () =>
        world.using(UnixListener.bind("/socket", { ...world.platform, type: "seqpacket" })),
      );
      if (listener === null) return;
      const accepting = world.attempt("accept", () => listener.accept());
      const client = await world.attempt("connect", () => UnixSeqpacket.connect("/socket", world.platform));
      if (client !== null) world.using(client);
      const server = await accepting;
      if (server === null) return;
      world.using(server);
      if (client === null) return;
      const sent = ledgerOf(world, () => false);
      await sendAll(world, client, sent, 10, 2);
      await sendAll(world, client, sent, 20, 1);
      await world.attempt("close", () => client.close());
      await world.attempt("reader", async () => {
        const reader = server.reader();
        sent.came((await reader.read(30)).toString(), namesOf(world, reader.takeFds(reader.queuedFds)));
        await reader.ended();
        reader.close();
      });
    },
  },
  {
    name: "records: passed on, sent whole, received one by one",
    systems: /^(?!darwin)/,
    async run(world) {
      const [a, given] = world.usingBoth(UnixSeqpacket.pair(world.platform));
      const [c, d] = world.usingBoth(UnixStream.pair(world.platform));
      const b = await world.attempt("from", () => {
        c.sendFdsSync("x", [given]);
        const { fds } = d.recvFdsSync(1);
        return fds.length === 0 ? null : world.using(UnixSeqpacket.from(world.using(fds[0]!)));
      });
      if (b === null) return;
      const ledger = ledgerOf(world, () => false);
      await sendNow(world, ledger, "sendFdsAllSync", 40, 1, (data, files) => {
        a.sendFdsAllSync(data, files, { timeout: 5 });
        return data.length;
      });
      await sendNow(world, ledger, "trySendFds", 40, 1, (data, files) => a.trySendFds(data, files));
      await world.attempt("messages", async () => {
        try {
          for await (const message of b.messages(2)) {
            enter(world, ledger, message);
            a.shutdown("write");
          }
        } catch (error) {
          enterError(ledger, error);
          throw error;
        }
      });
    },
  },
  {
    name: "datagrams: connected by name, synchronous, taken over",
    async run(world) {
      const [a, b] = world.usingBoth(UnixStream.pair(world.platform));
      const receiver = await world.attempt("bind", () => world.using(UnixDatagram.bind("/receiver", world.platform)));
      const sender = await world.attempt("bind", () => world.using(UnixDatagram.bind("/sender", world.platform)));
      if (receiver === null || sender === null) return;
      const ledger = ledgerOf(world, () => false);
      await sendNow(world, ledger, "sendFdsToSync", 3, 1, (data, files) =>
        sender.sendFdsToSync(data, files, "/receiver", { timeout: 5 }),
      );
      await sendNow(world, ledger, "trySendFdsTo", 3, 1, (data, files) =>
        sender.trySendFdsTo(data, files, "/receiver"),
      );
      await world.attempt("connect", () => sender.connect("/receiver"));
      await send(world, sender, ledger, 4, 2);
      await takeNow(world, ledger, "recvFdsFromSync", () => receiver.recvFdsFromSync(1, { timeout: 5 }));
      await world.attempt("from", async () => {
        await a.sendFds("x", [receiver]);
        const message = await b.recvFds(1);
        if (message.fds.length === 0) return;
        const taken = world.using(UnixDatagram.from(world.using(message.fds[0]!)));
        await receiveAll(world, taken, ledger, () => taken.recvFds(2), 1);
      });
      await world.attempt("close", () => receiver.close());
      await send(world, sender, new Ledger(), 1, 1);
    },
  },
  {
    name: "datagrams: aborted while the receiver is full",
    async run(world) {
      const [a, b] = world.usingBoth(UnixDatagram.pair(world.platform));
      const ledger = ledgerOf(world, () => false);
      const abort = new AbortController();
      const sends = [40, 40, 40].map(async (length) => {
        const data = world.bytes(length);
        const { files, names } = world.filesOf(1);
        const sent = await world.attempt("sendFds", () => a.sendFds(data, files, { signal: abort.signal }));
        if (sent !== null) ledger.accepted(data, names);
      });
      for (let turns = world.random(20); turns > 0; turns--) await null;
      abort.abort(REASON);
      await Promise.all(sends);
      await receiveAll(world, b, ledger, () => b.recvFds(1), 3);
    },
  },
  {
    name: "reader: aborted and asked again, to a delimiter",
    async run(world) {
      const [a, b] = world.usingBoth(UnixStream.pair(world.platform));
      const ledger = ledgerOf(world, () => false);
      await world.attempt("reader", async () => {
        const reader = world.using(b.reader({ maxQueuedFds: 3, maxFds: 2 }));
        const abort = new AbortController();
        const reading = world.attempt("readUntil", () => reader.readUntil("\n", 50, { signal: abort.signal }));
        const sending = sendAll(world, a, ledger, 20, 2);
        for (let turns = world.random(20); turns > 0; turns--) await null;
        abort.abort(REASON);
        const early = await reading;
        if (early !== null) throw new Violation(`read "${early}", which was not ended`);
        await sending;
        ledger.came((await reader.read(20)).toString(), namesOf(world, reader.takeFds(2)));
        await world.attempt("sendFdsAll", () => a.sendFdsAll("\n"));
        await reader.readUntil("\n", 1);
        // More than it takes in one message: the reader and the socket are closed.
        const { files } = world.filesOf(3);
        await world.attempt("sendFdsAll", () => a.sendFdsAll("x", files));
        await world.attempt("read", () => reader.read(1));
        await world.attempt("read", () => reader.read(1));
        await reader[Symbol.asyncDispose]();
      });
    },
  },
  {
    name: "low level: named datagrams, the caller's memory, what was not taken",
    async run(world) {
      const receiver = await world.attempt("bind", () => world.using(UnixDatagram.bind("/receiver", world.platform)));
      const sender = await world.attempt("unbound", () => world.using(UnixDatagram.unbound(world.platform)));
      if (receiver === null || sender === null) return;
      const out = new SocketAncillary(256, world.platform);
      const into = world.using(
        Object.assign(new SocketAncillary(new Uint8Array(128), world.platform), {
          close(this: SocketAncillary) {
            this[Symbol.dispose]();
          },
        }),
      );
      const { files } = world.filesOf(3);
      for (let i = 0; i < 2; i++) {
        await world.attempt("sendmsg", () => {
          out.clear();
          out.addFds(files.slice(0, 1));
          out.addFds(files.slice(1));
          sendmsg(sender, ["a", "b"].map(Buffer.from), out, { address: "/receiver", wait: true, timeout: 5 });
        });
        await world.attempt("recvmsg", () => {
          recvmsg(receiver, Buffer.alloc(4), null, { flags: world.kernel.abi.MSG_PEEK });
          recvmsg(receiver, Buffer.alloc(1), into, { wait: true, timeout: 5 });
          // The rest is closed with the loop, or with the next receive.
          if (i === 0) return;
          for (const message of into.messages()) {
            if (message.kind !== "rights") continue;
            for (const fd of message.fds) world.using(fd);
            return;
          }
        });
      }
      await world.attempt("recvmsg", () => recvmsg(receiver, Buffer.alloc(1), into));
    },
  },
  {
    name: "low level: a sender that says who it is",
    systems: /^(linux|freebsd|dragonfly)/,
    async run(world) {
      const [a, b] = world.usingBoth(UnixStream.pair(world.platform));
      const [{ pid, uid, gid }] = world.processes;
      const out = new SocketAncillary(512, world.platform);
      const into = new SocketAncillary(512, world.platform);
      world.using({ close: () => into.clear() });
      const linux = world.kernel.abi.os === "linux";
      if (linux && (await world.attempt("setPassCredentials", () => b.setPassCredentials(true))) === null) return;
      await world.attempt("sendmsg", () => {
        out.addCredentials({ pid, uid, gid });
        const { SOL_SOCKET: level, SCM_RIGHTS: type, severalRights } = world.kernel.abi;
        // As bytes: their numbers are added.
        const fd = Int32Array.of(world.file().fd);
        if (severalRights !== "first") out.addMessage({ level, type, data: new Uint8Array(fd.buffer) });
        sendmsg(a, "x", out);
        const { ancillaryTruncated } = recvmsg(b, Buffer.alloc(1), into);
        const came = [...into.messages()];
        for (const one of came) {
          if (one.kind === "rights") for (const fd of one.fds) world.using(fd);
          if (one.kind !== "credentials") continue;
          const { credentials } = one;
          if (credentials.pid !== pid || credentials.uid !== uid || credentials.gid !== gid)
            throw new Violation(`credentials ${JSON.stringify(credentials)} of ${pid} ${uid} ${gid}`);
        }
        if (!ancillaryTruncated && !came.some(({ kind }) => kind === "credentials"))
          throw new Violation("the credentials are lost");
      });
    },
  },
  {
    name: "channel: more descriptors than one message takes",
    systems: /^(dragonfly|openbsd)/,
    descriptors: 400,
    async run(world) {
      const most = world.kernel.abi.maxFdsPerMessage;
      const options = { ...world.platform, maxFds: 2 * most };
      const channels = await world.attempt("pair", () => world.usingBoth(FdChannel.pair(options)));
      if (channels === null) return;
      const [a, b] = channels;
      const { files, names } = world.filesOf(3);
      const sending = world.attempt("send", () =>
        a.send(
          "frame",
          Array.from({ length: most + 2 }, (_, i) => files[i % 3]!),
        ),
      );
      const frame = await world.attempt("recv", () => b.recv());
      if (frame !== null) {
        const came = frame.fds.map((fd) => world.processes[0].nameOf(fd.fd));
        frame[Symbol.dispose]();
        if (came.length !== most + 2 || came.some((name, i) => name !== names[i % 3]))
          throw new Violation(`a frame with ${came.length} descriptors, ${came.slice(0, 5)} ...`);
      } else await world.attempt("close", () => b.close());
      await sending;
    },
  },
  {
    name: "channel: iterated over records",
    systems: /^(?!darwin)/,
    async run(world) {
      const sockets = await world.attempt("pair", () => world.usingBoth(UnixSeqpacket.pair(world.platform)));
      if (sockets === null) return;
      const channels = await world.attempt("over", () =>
        world.usingBoth(sockets.map((one) => FdChannel.over(one)) as [FdChannel, FdChannel]),
      );
      if (channels === null) return;
      const [a, b] = channels;
      const sent: string[] = [];
      const came: string[] = [];
      const sending = (async () => {
        for (const fds of [1, 0, 2]) {
          const data = world.bytes(10);
          const { files, names } = world.filesOf(fds);
          sent.push(`${data} ${names}`);
          await world.attempt("send", () => a.send(data, files));
        }
        await world.attempt("asyncDispose", () => a[Symbol.asyncDispose]());
      })();
      await world.attempt("iterate", async () => {
        for await (const frame of b) {
          came.push(`${frame.payload} ${frame.fds.map((fd) => world.processes[0].nameOf(fd.fd))}`);
          frame[Symbol.dispose]();
        }
      });
      await world.attempt("close", () => b.ref().unref().close());
      await sending;
      world.finally(() => {
        if (!isSubsequence(came, sent)) throw new Violation(`frames ${came.join("; ")}, sent ${sent.join("; ")}`);
      });
    },
  },
  {
    name: "channel: a peer that stops in a frame, or sends what is none",
    async run(world) {
      const sockets = await world.attempt("pair", () => world.usingBoth(UnixStream.pair(world.platform)));
      if (sockets === null) return;
      const [a, b] = sockets;
      const stops = world.random(2) === 0;
      const channel = await world.attempt("over", () =>
        world.using(FdChannel.over(b, { frameTimeout: 50, peer: world.random(4) === 0 ? () => false : undefined })),
      );
      if (channel === null) return;
      // The beginning of a frame (see src/channel/frame.ts), or of none.
      await world.attempt("sendFds", () => a.sendFds(stops ? "UANC" : "GET ", [world.file()]));
      await world.attempt("recv", async () => (await channel.recv())?.[Symbol.dispose]());
      await world.attempt("recv", async () => (await channel.recv())?.[Symbol.dispose]());
      await world.attempt("send", () => channel.send("x", [world.file()]));
      await world.attempt("dispose", () => channel[Symbol.dispose]());
    },
  },
  {
    name: "owned: duplicated, described, released",
    async run(world) {
      const file = world.file();
      await world.attempt("dup", () => {
        const copy = world.using(file.dup());
        copy.describe();
        const again = world.using(copy.dup());
        again.close();
        copy.close();
        copy.close();
        const { system } = world.processes[0].platform;
        system.close(world.using(file.dup()).release());
      });
      await world.attempt("dispose", () => file[Symbol.dispose]());
    },
  },
  {
    name: "memfd: made, filled, sealed",
    async run(world) {
      const { platform } = world.processes[0];
      await world.attempt("memfd", () => {
        const memory = world.using(memfd("m", { data: "abc", size: 9, seal: ["shrink", "grow"], platform }));
        memory.describe();
        memory.close();
      });
    },
  },
  {
    name: "unasked: a descriptor of a peer, whose close waits",
    peer: true,
    async run(world) {
      const [here, there] = await connected(world);
      if (here === null || there === null) return;
      const ways = [
        () => here.recvFds(0),
        () => here.recvFdsExact(2),
        () => {
          const ancillary = new SocketAncillary(64, world.platform);
          recvmsg(here, Buffer.alloc(2), ancillary);
          ancillary.clear();
        },
        // At the end the socket is closed with two messages: one in the reader, and one that is unread.
        async () => {
          await world.attempt("sendFds", () => there.sendFds("z"));
          await here.reader().read(1);
        },
        () => here.close(),
      ];
      for (const way of ways) {
        await world.attempt("open", async () => {
          const slow = world.using(world.processes[1].open("slow", { closeWaits: true }));
          try {
            await there.sendFds("xy", [slow]);
          } finally {
            slow.close();
          }
        });
        await world.attempt("unasked", async () => void (await way()));
      }
    },
  },
  {
    name: "usocket: a server and a client, bytes and descriptors both ways, to the end",
    streams: true,
    async run(world) {
      const [here, there] = world.processes;
      const [toServer, toClient] = [new Ledger(), new Ledger()];
      const server = world.using(new UServer());
      let exchanged: Promise<void> | undefined;
      let gone = (): void => {};
      const serving = streamed(world, "serve", (done) => {
        server.once("error", done);
        server.once("connection", (socket: USocket) => {
          exchanged = exchange(world, socket, here, { chunks: [[20, 3]], sent: toClient, came: toServer });
          done();
        });
        gone = done;
      });
      await streamed(world, "listen", (done) => {
        server.once("error", done).listen({ path: "/socket", ...world.platform }, done);
      });
      if (!server.listening) return;
      server.pause();
      const client = new USocket();
      world.using({ close: () => void client.destroy() });
      await streamed(world, "connect", (done) => {
        client.once("error", done).connect({ path: "/socket", platform: there.platform }, done);
        server.resume();
      });
      // The connection may be on its way to the listener of the server.
      const closes = world.random(3) === 0;
      if (closes) await world.attempt("close", () => server.close());
      if (closes && exchanged === undefined) gone();
      const chunks = [
        [3, 1],
        [90, 2],
        [5, 0],
      ] as const;
      if (client.fd !== undefined) await exchange(world, client, there, { chunks, sent: toServer, came: toClient });
      else gone();
      await world.attempt("close", () => server.close());
      await serving;
      await exchanged;
    },
  },
  {
    name: "stream: bytes and descriptors beside them, both ways, to the end",
    streams: true,
    async run(world) {
      const [here] = world.processes;
      const [left, right] = world.usingBoth(UnixStream.pair(world.platform)).map((socket) => new FdDuplex(socket));
      const [toLeft, toRight] = [new Ledger(), new Ledger()];
      const chunks = [
        [3, 1],
        [90, 2],
        [5, 0],
        [1, 4],
      ] as const;
      await Promise.all([
        exchange(world, left!, here, { chunks, sent: toRight, came: toLeft }),
        exchange(world, right!, here, { chunks: [[70, 2]], sent: toLeft, came: toRight }),
      ]);
    },
  },
];
