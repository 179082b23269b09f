/** What a call has to do with, and what the caller's code does to it meanwhile. */

import { readdirSync, readlinkSync } from "node:fs";
import { isMainThread, Worker } from "node:worker_threads";
import { OwnedFd, SocketAncillary, UnixDatagram, UnixListener, UnixSeqpacket, UnixStream } from "unix-ancillary";
import { openSync } from "../descriptors.ts";
import { fileWith } from "../support.ts";
import { Lent } from "./arguments.ts";

/** The files that descriptors in a test refer to. They stay open. */
function file(content: string): { readonly path: string; readonly fd: number } {
  const path = fileWith(content);
  return { path, fd: openSync(path, "r") };
}
/** Given by the caller to be sent; sent by the peer; taking the number of a closed one; of another connection. */
const FILES = { given: file("given"), own: file("own"), other: file("other"), secret: file("secret") };

export const PAYLOAD = "PAYLOAD";
const SECRET = "SECRET";
/** What leaves no room for it. */
const FILLER = 0x2e;
/** What waits to be received: more than a call, and one within it, take. */
export const WAITING: readonly string[] = ["mine0", "mine1", "mine2", "mine3", "mine4"];

export type Kind = "stream" | "seqpacket" | "datagram" | "listener";
export type MessageSocket = UnixStream | UnixSeqpacket | UnixDatagram;
type Closable = { close(): void };
type Subject = Closable & { readonly fd: number; readonly closed: boolean };

let names = 0;
export const abstractName = (): string => `\0callers-code-${process.pid}-${process.hrtime.bigint()}-${names++}`;

export function pairOf(kind: Kind): [MessageSocket, MessageSocket] {
  if (kind === "seqpacket") return UnixSeqpacket.pair();
  return kind === "datagram" ? UnixDatagram.pair() : UnixStream.pair();
}

/** What was received, somewhere. */
export class Seen {
  text = "";
  readonly files: string[] = [];

  /** The descriptors stay open. */
  add(text: string, fds: readonly OwnedFd[]): void {
    this.text += text;
    for (const owned of fds) if (!owned.closed) this.files.push(contentOf(owned));
  }

  count(text: string): number {
    return this.text.split(text).length - 1;
  }
}

function contentOf(owned: OwnedFd): string {
  const path = readlinkSync(`/proc/self/fd/${owned.fd}`);
  return Object.entries(FILES).find(([, one]) => one.path === path)?.[0] ?? path;
}

/** Receives all that is there, and closes its descriptors. */
export function drain(socket: MessageSocket, seen: Seen = new Seen(), size = 1000): Seen {
  for (let errors = 0; errors < 3 && !socket.closed; ) {
    try {
      const message = socket.tryRecvFds(253, { bufferSize: size, allowTruncated: true });
      if (message === null) break;
      seen.add(message.data.toString("latin1", message.data.lastIndexOf(FILLER) + 1), message.fds);
      message[Symbol.dispose]();
      if (message.eof) break;
    } catch {
      errors++;
    }
  }
  return seen;
}

/** Whether an effect can be had on a call. */
export const applies = (effect: string, { uses }: World): boolean =>
  EFFECTS[effect]!.needs === undefined || uses.has(EFFECTS[effect]!.needs!);

export const countFds = (): number => readdirSync("/proc/self/fd").length;

/** What a call has to do with, made when it is asked for, and closed when the call is over. */
export class World {
  readonly kind: Kind;
  readonly uses: Set<Need> = new Set();
  readonly thrown: Error = new Error("thrown by the caller");
  readonly reason: Error = new Error("aborted by the caller");
  readonly controller: AbortController = new AbortController();
  readonly memories: Uint8Array[] = [];
  /** The socket that the call is made on, or reads from. */
  subject: Subject | null = null;
  socket: MessageSocket | null = null;
  peer: MessageSocket | null = null;
  ancillary: SocketAncillary | null = null;
  /** Calls that the caller's code made meanwhile. */
  readonly nested: Promise<unknown>[] = [];
  /** Which of them repeat the call. */
  readonly repeats: number[] = [];
  /** Makes the same call with arguments that run nothing. */
  again: (() => unknown) | null = null;
  #held: boolean;
  readonly #open: Closable[] = [];
  #fds: readonly [OwnedFd, Lent, OwnedFd] | null = null;
  #lent: OwnedFd | null = null;
  #bystander: { near: MessageSocket | UnixListener; far: MessageSocket } | null = null;

  /** `later`: what is to be received has not come when the call is made. */
  constructor(kind: Kind, later = false) {
    this.kind = kind;
    if (!isMainThread) this.uses.add("worker");
    this.#held = later;
  }

  keep<T extends Closable>(one: T): T {
    this.#open.push(one);
    return one;
  }

  /** A connected socket; its peer is kept. */
  connected(): MessageSocket {
    const [ours, theirs] = pairOf(this.kind);
    this.peer = this.keep(theirs);
    this.socket = this.keep(ours);
    this.subject = ours;
    this.uses.add("socket");
    return ours;
  }

  /** The peer sends what the call is to receive. */
  send(): void {
    if (!this.#held) for (const text of WAITING) this.peer!.sendFdsSync(text, [FILES.own.fd]);
  }

  /** What was held back comes now. */
  release(): void {
    this.#held = false;
    if (!this.subject!.closed) this.send();
  }

  /** No room is left to send into. */
  fill(): void {
    const filler = Buffer.alloc(1 << 16, FILLER);
    while (this.socket!.trySendFds(filler) !== null);
  }

  listening(type: "stream" | "seqpacket" = "stream"): UnixListener<UnixStream | UnixSeqpacket> {
    const name = abstractName();
    const listener = this.keep(
      type === "stream" ? UnixListener.bind(name) : UnixListener.bind(name, { type }),
    ) as UnixListener<UnixStream | UnixSeqpacket>;
    const connect = type === "stream" ? UnixStream : UnixSeqpacket;
    for (let i = 0; i < WAITING.length; i++) this.keep(connect.connectSync(name));
    this.subject = listener;
    this.uses.add("socket");
    return listener;
  }

  get signal(): AbortSignal {
    this.uses.add("signal");
    return this.controller.signal;
  }

  /** Memory that can be detached and shrunk. */
  bytes(content: string | number): Uint8Array {
    const length = typeof content === "number" ? content : content.length;
    const Resizable = ArrayBuffer as unknown as new (length: number, options: object) => ArrayBuffer;
    const bytes = new Uint8Array(new Resizable(length, { maxByteLength: length }));
    if (typeof content === "string") bytes.set(Buffer.from(content));
    this.memories.push(bytes);
    this.uses.add("memory");
    return bytes;
  }

  /** Descriptors of the given file: two that the library made, and between them one of the caller's own kind. */
  fds(): readonly [OwnedFd, Lent, OwnedFd] {
    this.uses.add("fds");
    if (this.#fds === null) {
      const given = () => this.keep(OwnedFd.from(FILES.given.fd));
      this.#lent = given();
      this.#fds = [given(), new Lent(this.#lent), given()];
    }
    return this.#fds;
  }

  control(bytes: Uint8Array | number = 512): SocketAncillary {
    this.uses.add("ancillary");
    this.ancillary = new SocketAncillary(bytes);
    return this.ancillary;
  }

  /** Closes a descriptor; the number is another file's then. */
  #replace(closing: Closable & { readonly fd: number }, by: { readonly fd: number } | number): void {
    const { fd } = closing;
    closing.close();
    for (let i = 0; i < 100; i++) if (this.keep(OwnedFd.from(by)).fd === fd) return;
    throw new Error(`the number ${fd} was not used again`);
  }

  replaceFds(which: "all" | "first"): void {
    const [first, , last] = this.#fds!;
    for (const one of which === "all" ? [first, this.#lent!, last] : [first])
      if (!one.closed) this.#replace(one, FILES.other.fd);
  }

  /** Closes the socket; a connection that has a secret gets its number. */
  replaceSocket(): void {
    if (this.subject!.closed) return;
    const near = this.kind === "listener" ? UnixListener.bind(abstractName()) : null;
    const [ours, theirs] = near === null ? pairOf(this.kind) : [null, UnixStream.connectSync(near.address as string)];
    theirs.sendFdsSync(SECRET, [FILES.secret.fd]);
    const bystander = { near: this.keep(near ?? ours!), far: this.keep(theirs) };
    this.#replace(this.subject!, bystander.near);
    this.#bystander = bystander;
  }

  /** Whether something that a call made is the other connection. */
  isBystander({ fd }: { readonly fd: number }): boolean {
    const file = (number: number) => readlinkSync(`/proc/self/fd/${number}`);
    return this.#bystander !== null && file(fd) === file(this.#bystander.near.fd);
  }

  /** What happened to the other connection. */
  bystanderProblems(): string[] {
    if (this.#bystander === null) return [];
    const { near, far } = this.#bystander;
    const problems: string[] = [];
    const sent = far.tryRecvFds(253);
    if (sent !== null)
      problems.push(`sent to another connection: ${sent.eof ? "an end" : JSON.stringify(String(sent.data))}`);
    sent?.[Symbol.dispose]();
    let secret: MessageSocket;
    try {
      secret = near instanceof UnixListener ? this.keep(near.acceptSync({ timeout: 0 })) : near;
    } catch {
      return [...problems, "accepted the connection of another listener"];
    }
    const kept = drain(secret);
    if (kept.text !== SECRET || kept.files.join() !== "secret")
      problems.push(
        `received from another connection: it has ${JSON.stringify(kept.text)}, ${kept.files.join() || "no descriptor"}`,
      );
    return problems;
  }

  /** A call of the caller's code; what it fails with is looked at later. */
  nest(call: () => unknown): void {
    this.nested.push((async () => call())());
    // It is looked at when the outer call is over.
    this.nested.at(-1)!.catch(() => {});
  }

  close(): void {
    this.ancillary?.clear();
    for (const one of this.#open) one.close();
  }
}

export type Need = "socket" | "fds" | "memory" | "signal" | "ancillary" | "worker";

/** What a thread that was ended answers. */
export const ENDED = 7;

/** What the caller's code does, and what the call has to have for it. */
export interface Effect {
  readonly needs?: Need;
  readonly run: (world: World) => void;
}

export const EFFECTS: Readonly<Record<string, Effect>> = {
  "closes the socket": { needs: "socket", run: (world) => world.subject!.close() },
  "closes the socket, another gets its number": { needs: "socket", run: (world) => world.replaceSocket() },
  "hands the socket over": {
    needs: "socket",
    run: (world) => world.nest(() => world.socket instanceof UnixStream && world.socket.toSocket({ readable: false })),
  },
  "receives on the socket": {
    needs: "socket",
    run: (world) => world.nest(() => world.socket?.tryRecvFds(1)),
  },
  "waits for a message on the socket": {
    needs: "socket",
    run: (world) => world.nest(() => world.socket?.recvFds(1)),
  },
  "sends on the socket": {
    needs: "socket",
    run: (world) => world.nest(() => world.socket?.trySendFds("nested", [FILES.own.fd])),
  },
  "queues a send on the socket": {
    needs: "socket",
    run: (world) => world.nest(() => world.socket?.sendFds("nested", [FILES.own.fd])),
  },
  "calls the same": {
    run: (world) => {
      world.repeats.push(world.nested.length);
      world.nest(() => world.again!());
    },
  },
  "closes the descriptors, others get the numbers": { needs: "fds", run: (world) => world.replaceFds("all") },
  "closes the first descriptor, another gets the number": { needs: "fds", run: (world) => world.replaceFds("first") },
  "detaches the memory": {
    needs: "memory",
    run: ({ memories }) => {
      for (const buffer of memories.map(memoryOf)) structuredClone(buffer, { transfer: [buffer] });
    },
  },
  "shrinks the memory": {
    needs: "memory",
    run: ({ memories }) => {
      for (const buffer of memories.map(memoryOf)) if (buffer.byteLength > 1) buffer.resize(1);
    },
  },
  aborts: { needs: "signal", run: ({ controller, reason }) => controller.abort(reason) },
  "empties the ancillary buffer": { needs: "ancillary", run: ({ ancillary }) => ancillary!.clear() },
  "adds to the ancillary buffer": {
    needs: "ancillary",
    run: (world) => world.nest(() => world.ancillary!.addFds([FILES.given.fd])),
  },
  /** In a worker. */
  "ends the thread": { needs: "worker", run: () => process.exit(ENDED) },
  throws: {
    run: ({ thrown }) => {
      throw thrown;
    },
  },
};

type Memory = ArrayBuffer & { resize(to: number): void };
const bufferOf = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), "buffer")!.get!;
/** The memory of an array, whatever getters it was given. */
const memoryOf = (bytes: Uint8Array): Memory => bufferOf.call(bytes);

/** Of memory that was detached there is nothing. */
const textOf = (memory: Memory): string => (memory.byteLength === 0 ? "" : Buffer.from(memory).toString("latin1"));

/** The bytes at the front of memory. */
export function front(memories: readonly Uint8Array[], length: number): string {
  const all = memories.map((bytes) => textOf(memoryOf(bytes)));
  return all.join("").slice(0, length);
}

/**
 * Ends the process when a synchronous call does not return, and says which it is.
 *
 * @returns told before each call what it is, and after it that it is over
 */
export async function watchdog(
  milliseconds: number,
): Promise<{ begin(call: string): void; end(): void; stop(): void }> {
  const calls = new Int32Array(new SharedArrayBuffer(4));
  const text = new Uint8Array(new SharedArrayBuffer(500));
  const source = `
    const { workerData: { calls, text }, parentPort } = require("node:worker_threads");
    let last = 0;
    setInterval(() => {
      const now = Atomics.load(calls, 0);
      if (now > 0 && now === last) {
        require("node:fs").writeSync(2, "does not return: " + Buffer.from(text).toString().replace(/\\0.*/s, "") + "\\n");
        process.kill(process.pid, "SIGKILL");
      }
      last = now;
    }, ${milliseconds});
    parentPort.postMessage("ready");`;
  const worker = new Worker(source, { eval: true, workerData: { calls, text } });
  await new Promise((resolve) => worker.once("message", resolve));
  worker.unref();
  const encoder = new TextEncoder();
  let count = 0;
  return {
    begin(call) {
      encoder.encodeInto(`${call}\0`, text);
      Atomics.store(calls, 0, ++count);
    },
    end: () => void Atomics.store(calls, 0, 0),
    stop: () => void worker.terminate(),
  };
}
