/** Accepted connections for other processes, with the bytes that were read from them. */

import type { IncomingMessage } from "node:http";
import type { Server, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { FdChannel, limitsOf } from "../channel/channel.ts";
import { ChannelError } from "../channel/errors.ts";
import type { Frame } from "../channel/frame.ts";
import { isUint8Array, plainView } from "../core/bytes.ts";
import { AncillaryError, nameErrors, wrongOwner, wrongType } from "../core/errors.ts";
import { closeAll } from "../fd/owned-fd.ts";
import { net, timers } from "../system/builtins.ts";
import { type Connection, detach, socketOf } from "./connection.ts";

/** A connection that was not handed off: the worker ended, or the channel failed. It is still this process's: {@link takeBack}. */
export class HandOffError extends Error {
  /** Stable across versions; the message is not. */
  readonly code = "ERR_NOT_HANDED_OFF";
  readonly #connection: Connection;

  /** @internal */
  constructor(connection: Connection, cause: unknown) {
    super("the connection was not handed off: the worker has not taken it. takeBack() returns it", { cause });
    this.#connection = connection;
  }

  static {
    nameErrors(HandOffError.prototype, "HandOffError");
  }

  /**
   * The connection, with every byte that was read from it: for another worker, or for a server of this process
   * (`server.emit("connection", error.takeBack())`).
   *
   * @throws AncillaryError `ERR_FD_CLOSED` when it was taken back already
   */
  takeBack(): Socket {
    return socketOf(this.#connection);
  }
}

/** A connection that the worker has not acknowledged. */
interface Pending extends Connection {
  readonly resolve: () => void;
  readonly reject: (error: HandOffError) => void;
}

/** Options that a server of Node's sets on what it accepts. */
interface ConnectionOptions {
  readonly allowHalfOpen?: boolean;
  readonly pauseOnConnect?: boolean;
  readonly noDelay?: boolean;
  readonly keepAlive?: boolean;
  readonly keepAliveInitialDelay?: number;
}

/** The most connections of a frame, and bytes that were read from them from which on no other is added. The channel's limits may be lower. */
const MOST = 64;
const MOST_BYTES = 1 << 20;

const BYTES_OF_LENGTH = 4;

/** The connections of a channel: those that arrive in one turn of the event loop are sent in one frame. */
class Sender {
  readonly #channel: FdChannel;
  readonly #queued: Pending[] = [];
  /** Those of each frame, the oldest first. */
  readonly #sent: Pending[][] = [];
  #receiving = false;

  constructor(channel: FdChannel) {
    this.#channel = channel;
  }

  add(pending: Pending): void {
    if (this.#queued.push(pending) === 1) timers.setImmediate(() => this.#sendAll());
  }

  #sendAll(): void {
    while (this.#queued.length > 0) {
      void this.#send(this.#queued.splice(0, this.#next()));
    }
    if (!this.#receiving) void this.#receive();
  }

  /** How many go in the next frame: as many as the limits of the channel allow, but at least one. */
  #next(): number {
    const { maxFds, maxPayload } = limitsOf(this.#channel);
    const most = Math.min(this.#queued.length, MOST, maxFds);
    let count = 0;
    for (let bytes = 0; count < most && bytes < MOST_BYTES; count++) {
      bytes += BYTES_OF_LENGTH + this.#queued[count]!.head.length;
      if (bytes > maxPayload) break;
    }
    return Math.max(1, count);
  }

  /** The payload has the length of each head, then the heads. */
  async #send(batch: Pending[]): Promise<void> {
    const lengths = Buffer.alloc(BYTES_OF_LENGTH * batch.length);
    for (let i = 0; i < batch.length; i++) lengths.writeUInt32BE(batch[i]!.head.length, BYTES_OF_LENGTH * i);
    this.#sent.push(batch);
    try {
      await this.#channel.send(
        Buffer.concat([lengths, ...batch.map(({ head }) => head)]),
        batch.map(({ fd }) => fd),
      );
    } catch (error) {
      const at = this.#sent.indexOf(batch);
      if (at === -1) return;
      this.#sent.splice(at, 1);
      for (const one of batch) one.reject(new HandOffError(one, error));
    }
  }

  /** Receives acknowledgements while connections wait for them: a frame for each of ours. */
  async #receive(): Promise<void> {
    this.#receiving = true;
    let cause: unknown = null;
    try {
      while (this.#sent.length > 0) {
        const frame = await this.#channel.recv();
        if (frame === null) break;
        frame[Symbol.dispose]();
        const taken = this.#sent.shift() ?? [];
        // The worker has them, even if a close here fails.
        closeAll(taken.map(({ fd }) => fd));
        for (const { resolve } of taken) resolve();
      }
    } catch (error) {
      cause = error;
    }
    this.#receiving = false;
    for (const one of this.#sent.splice(0).flat()) one.reject(new HandOffError(one, cause));
  }
}

const senders = new WeakMap<FdChannel, Sender>();

/**
 * Hands a connection to the worker at the other end of a channel, which calls {@link takeConnections}. The worker gets `head`, then the
 * bytes that Node has read and the program has not, then what the client sends. The socket is destroyed, and the connection stays open.
 * From the first call on the channel is for connections alone. Those of one turn of the event loop share a frame, within the limits of
 * this channel: a worker's channel must not have lower ones.
 *
 * @param head bytes that the program has read, to be read again
 * @returns a promise that is fulfilled when the worker has the connection. A connection is lost by no end of the worker: until then
 *   this process has it, and no worker serves it. Close the channel when these promises are settled: if it is closed before, a worker
 *   may have taken a connection, and its acknowledgement is lost
 * @throws HandOffError when the worker ended before it took the connection, or the channel failed.
 *   TypeError, AncillaryError `ERR_SOCKET_BUSY` (bytes, an end or a response that are not written yet, or bytes that were decoded by
 *   `setEncoding`), `ERR_FD_CLOSED`: the socket is unchanged
 */
export async function handOff(channel: FdChannel, socket: Duplex, head?: Uint8Array): Promise<void> {
  checkChannel(channel);
  if (!(socket instanceof net().Socket)) throw wrongType("socket", "a net.Socket", socket);
  const read = head === undefined ? Buffer.alloc(0) : copied(head);
  const { writableLength, readableEncoding } = socket;
  // An end that the system has not got yet would be forgotten, and the worker could write after it.
  const ending = socket.writableEnded && !socket.writableFinished && !socket.destroyed;
  // Node's HTTP server would write it to the destroyed socket: of a request, or of one before a pipelined upgrade.
  const answering = Boolean((socket as { _httpMessage?: object | null })._httpMessage);
  if (writableLength > 0 || ending || answering || readableEncoding !== null) {
    const rest = ending ? "its end to send" : "a response to finish";
    const writes = writableLength > 0 ? `${writableLength} bytes to write` : rest;
    const found = readableEncoding === null ? writes : "an encoding";
    throw new AncillaryError(
      "ERR_SOCKET_BUSY",
      `expected a socket with nothing to write and no encoding, it has ${found}`,
    );
  }
  const connection = detach(socket, read);
  let sender = senders.get(channel);
  if (sender === undefined) {
    sender = new Sender(channel);
    senders.set(channel, sender);
  }
  const to = sender;
  return new Promise((resolve, reject) => to.add({ ...connection, resolve, reject }));
}

/**
 * {@link handOff} in a listener of `"upgrade"` or `"connect"` of an HTTP server, with the listener's arguments: the head of the request
 * goes along, so that the worker's HTTP server has the same request.
 */
export async function handOffUpgrade(
  channel: FdChannel,
  request: IncomingMessage,
  socket: Duplex,
  head: Uint8Array,
): Promise<void> {
  const read = copied(head);
  const { method, url, httpVersion, rawHeaders } = request;
  let text = `${method} ${url} HTTP/${httpVersion}\r\n`;
  for (let i = 0; i < rawHeaders.length; i += 2) text += `${rawHeaders[i]}: ${rawHeaders[i + 1]}\r\n`;
  // As Node's parser decodes them.
  return handOff(channel, socket, Buffer.concat([Buffer.from(`${text}\r\n`, "latin1"), read]));
}

/**
 * In a worker: takes the connections that are handed off over a channel, until the other end closes it. Each is acknowledged before it
 * is served. To stop, close the channel: connections that were not acknowledged return to the process that sent them.
 *
 * @param server what emits `"connection"` for each: an HTTP server, which need not listen; or a function that gets each socket
 * @throws what `FdChannel.recv` throws; ChannelError `ERR_CHANNEL_FD_COUNT` for a frame that `handOff` has not sent
 */
export async function takeConnections(channel: FdChannel, server: Server | ((socket: Socket) => void)): Promise<void> {
  checkChannel(channel);
  if (typeof server !== "function" && typeof (server as Server | null)?.emit !== "function")
    throw wrongType("server", "a server, or a function", server);
  if (server instanceof net().Server && !server.listening) track(server);
  const {
    allowHalfOpen = false,
    pauseOnConnect,
    noDelay,
    keepAlive,
    keepAliveInitialDelay = 0,
  } = server as ConnectionOptions;
  const serve = (socket: Socket): unknown =>
    typeof server === "function" ? server(socket) : server.emit("connection", socket);
  for await (const frame of channel) {
    const heads = headsOf(frame);
    try {
      await channel.send("");
    } catch {
      // Nobody waits for it: the other end takes them back.
      frame[Symbol.dispose]();
      continue;
    }
    // All of them first: a listener may throw.
    const sockets: Socket[] = [];
    try {
      for (const [i, head] of heads.entries()) {
        const socket = socketOf({ fd: frame.fds[i]!, head, allowHalfOpen }, pauseOnConnect);
        sockets.push(socket);
        if (noDelay) socket.setNoDelay(true);
        // Node's server has it in seconds.
        if (keepAlive) socket.setKeepAlive(true, 1000 * keepAliveInitialDelay);
      }
    } catch (error) {
      // One of them is no socket.
      for (const socket of sockets) socket.destroy();
      frame[Symbol.dispose]();
      throw error;
    }
    for (const socket of sockets) queueMicrotask(() => serve(socket));
  }
}

/**
 * When an HTTP server listens, a listener of Node's own begins the check of `headersTimeout` and `requestTimeout`, and the list of what
 * `closeAllConnections` closes. Without it a client that sends half a request stays for ever.
 */
function track(server: Server): void {
  for (const listener of server.listeners("listening"))
    if (listener.name === "setupConnectionsTracking") Reflect.apply(listener, server, []);
}

/** The head of each connection of a frame. @throws ChannelError after closing them, if no `handOff` has sent the frame */
function headsOf(frame: Frame): Buffer[] {
  const { payload, fds } = frame;
  const heads: Buffer[] = [];
  let from = BYTES_OF_LENGTH * fds.length;
  while (heads.length < fds.length && from <= payload.length) {
    const to = from + payload.readUInt32BE(BYTES_OF_LENGTH * heads.length);
    heads.push(payload.subarray(from, to));
    from = to;
  }
  if (from === payload.length) return heads;
  frame[Symbol.dispose]();
  const text = `expected a frame of handOff, with a length and a head for each of ${fds.length} descriptors, got ${payload.length} bytes`;
  throw new ChannelError("ERR_CHANNEL_FD_COUNT", text);
}

/** A copy, before other code of the caller's runs, which may change the bytes. */
function copied(head: unknown): Buffer {
  if (!isUint8Array(head)) throw wrongType("head", "a Uint8Array", head);
  return Buffer.from(plainView(head));
}

function checkChannel(channel: unknown): void {
  if (!(channel instanceof FdChannel)) throw wrongOwner("channel", "an FdChannel", channel);
}
