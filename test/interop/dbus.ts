/**
 * The part of D-Bus that a client needs to pass descriptors (the D-Bus Specification: Message Protocol, Authentication Protocol).
 *
 * A message says in its header field UNIX_FDS how many descriptors came with its first byte; in its body each is an index (type
 * `h`). Whoever reads has to give each message as many of the descriptors that have come as it says, and those that came first.
 */

import { type AsFd, type FdReader, type FdReaderOptions, type OwnedFd, UnixStream } from "unix-ancillary";

/** `y`, `u` and `h` are numbers; `s`, `o` and `g` strings; an array is one. */
export type Value = number | string | readonly Value[];

const TYPES = ["call", "return", "error", "signal"] as const;

/** The header fields: code and type. */
const FIELDS = {
  path: [1, "o"],
  interface: [2, "s"],
  member: [3, "s"],
  errorName: [4, "s"],
  replySerial: [5, "u"],
  destination: [6, "s"],
  sender: [7, "s"],
  signature: [8, "g"],
  unixFds: [9, "u"],
} as const;

interface Fields {
  readonly path?: string;
  readonly interface?: string;
  readonly member?: string;
  readonly errorName?: string;
  readonly replySerial?: number;
  readonly destination?: string;
  readonly signature?: string;
}

/** A message to send. */
export interface Outgoing extends Fields {
  readonly type: (typeof TYPES)[number];
  /** Values of the types in `signature`. */
  readonly body?: readonly Value[];
  readonly fds?: readonly AsFd[];
}

/** A received message. The receiver owns its descriptors. */
export interface Message extends Fields, Disposable {
  readonly type: (typeof TYPES)[number];
  readonly serial: number;
  readonly sender?: string;
  readonly body: readonly Value[];
  readonly fds: readonly OwnedFd[];
}

/** Bytes of a message up to and including the length of its header fields. */
const FIXED = 16;
const NO_REPLY_EXPECTED = 1;

const BUS = { destination: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus" };

const aligned = (offset: number, to: number): number => Math.ceil(offset / to) * to;
/** The complete types of a signature: of the containers, arrays only. */
const typesOf = (signature: string): string[] => signature.match(/a*[a-z]/g) ?? [];

class Writer {
  readonly #parts: Buffer[] = [];
  length = 0;

  bytes(bytes: Buffer): void {
    this.#parts.push(bytes);
    this.length += bytes.length;
  }

  align(to: number): void {
    this.bytes(Buffer.alloc(aligned(this.length, to) - this.length));
  }

  /** Reserves room for a number that is written later. */
  uint32(value: number): Buffer {
    this.align(4);
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    this.bytes(bytes);
    return bytes;
  }

  value(type: string, value: Value): void {
    switch (type[0]) {
      case "y":
        this.bytes(Buffer.of(value as number));
        break;
      case "u":
      case "h":
        this.uint32(value as number);
        break;
      case "s":
      case "o":
        this.uint32(Buffer.byteLength(value as string));
        this.bytes(Buffer.from(`${value}\0`));
        break;
      case "g":
        this.bytes(Buffer.of((value as string).length));
        this.bytes(Buffer.from(`${value}\0`));
        break;
      case "a": {
        const length = this.uint32(0);
        const start = this.length;
        for (const element of value as readonly Value[]) this.value(type.slice(1), element);
        length.writeUInt32LE(this.length - start);
        break;
      }
      default:
        throw new Error(`the type ${type} is not written here`);
    }
  }

  result(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

class Parser {
  readonly #bytes: Buffer;
  readonly #little: boolean;
  offset = 0;

  constructor(bytes: Buffer, little: boolean) {
    this.#bytes = bytes;
    this.#little = little;
  }

  align(to: number): void {
    this.offset = aligned(this.offset, to);
  }

  #text(length: number): string {
    const text = this.#bytes.toString("utf8", this.offset, this.offset + length);
    this.offset += length + 1;
    return text;
  }

  value(type: string): Value {
    switch (type[0]) {
      case "y":
        return this.#bytes[this.offset++]!;
      case "u":
      case "h":
        this.align(4);
        this.offset += 4;
        return this.#little ? this.#bytes.readUInt32LE(this.offset - 4) : this.#bytes.readUInt32BE(this.offset - 4);
      case "s":
      case "o":
        return this.#text(this.value("u") as number);
      case "g":
        return this.#text(this.value("y") as number);
      case "a": {
        const length = this.value("u") as number;
        const end = this.offset + length;
        const elements: Value[] = [];
        while (this.offset < end) elements.push(this.value(type.slice(1)));
        return elements;
      }
      default:
        throw new Error(`the type ${type} is not read here`);
    }
  }
}

/** The bytes of a message. */
export function marshal({ type, body = [], fds = [], ...fields }: Outgoing, serial: number): Buffer {
  const content = new Writer();
  for (const [i, one] of typesOf(fields.signature ?? "").entries()) content.value(one, body[i]!);
  const message = new Writer();
  const flags = type === "call" ? 0 : NO_REPLY_EXPECTED;
  message.bytes(Buffer.of("l".charCodeAt(0), TYPES.indexOf(type) + 1, flags, 1));
  message.uint32(content.length);
  message.uint32(serial);
  const length = message.uint32(0);
  const all: Record<string, Value> = { ...fields, ...(fds.length > 0 ? { unixFds: fds.length } : {}) };
  for (const [name, value] of Object.entries(all)) {
    const [code, of] = FIELDS[name as keyof typeof FIELDS];
    message.align(8);
    message.bytes(Buffer.of(code));
    message.value("g", of);
    message.value(of, value);
  }
  length.writeUInt32LE(message.length - FIXED);
  message.align(8);
  message.bytes(content.result());
  return message.result();
}

/** The next message. */
export async function readMessage(reader: FdReader): Promise<Message> {
  const start = await reader.read(FIXED);
  const little = start[0] === "l".charCodeAt(0);
  const numbers = new Parser(start, little);
  numbers.offset = 4;
  const [bodyLength, serial, fieldsLength] = [numbers.value("u"), numbers.value("u"), numbers.value("u")] as number[];

  const fields: Record<string, Value> = {};
  const header = new Parser(await reader.read(aligned(fieldsLength!, 8)), little);
  while (header.offset < fieldsLength!) {
    const code = header.value("y");
    const value = header.value(header.value("g") as string);
    const name = Object.entries(FIELDS).find(([, [known]]) => known === code)?.[0];
    if (name !== undefined) fields[name] = value;
    header.align(8);
  }
  const content = new Parser(await reader.read(bodyLength!), little);
  const body = typesOf(String(fields.signature ?? "")).map((type) => content.value(type));
  const { unixFds = 0, ...rest } = fields;
  const fds = reader.takeFds(unixFds as number);
  const dispose = () => {
    for (const fd of fds) fd.close();
  };
  return { ...rest, type: TYPES[start[1]! - 1]!, serial: serial!, body, fds, [Symbol.dispose]: dispose };
}

/** Options for sending and receiving. */
export interface BusOptions {
  readonly reader?: FdReaderOptions;
  /** Bytes of each send: the descriptors go with the first. By default a message is one. */
  readonly piece?: number;
}

/** An authenticated connection to a message bus that can pass descriptors. */
export class BusConnection implements Disposable {
  readonly #socket: UnixStream;
  readonly #reader: FdReader;
  readonly #piece: number;
  /** Messages that arrived during the wait for a reply. */
  readonly #early: Message[] = [];
  #serial = 0;
  /** The name that the bus assigned. */
  name = "";

  private constructor(socket: UnixStream, { reader, piece = Infinity }: BusOptions) {
    this.#socket = socket;
    this.#reader = socket.reader(reader);
    this.#piece = piece;
  }

  static async connect(path: string, options: BusOptions = {}): Promise<BusConnection> {
    const bus = new BusConnection(await UnixStream.connect(path), options);
    try {
      await bus.#authenticate();
      using hello = await bus.call({ ...BUS, member: "Hello" });
      bus.name = hello.body[0] as string;
      return bus;
    } catch (error) {
      bus[Symbol.dispose]();
      throw error;
    }
  }

  async #authenticate(): Promise<void> {
    const user = Buffer.from(String(process.getuid!())).toString("hex");
    await this.#socket.sendFdsAll("\0");
    for (const [say, expected] of [
      [`AUTH EXTERNAL ${user}`, "OK"],
      ["NEGOTIATE_UNIX_FD", "AGREE_UNIX_FD"],
    ] as const) {
      await this.#socket.sendFdsAll(`${say}\r\n`);
      const answer = (await this.#reader.readUntil("\r\n", 1024)).toString();
      if (answer.trim().split(" ")[0] !== expected) throw new Error(`expected ${expected}, got ${answer}`);
    }
    await this.#socket.sendFdsAll("BEGIN\r\n");
  }

  /** The serial of the message. */
  async send(message: Outgoing): Promise<number> {
    const serial = ++this.#serial;
    const bytes = marshal(message, serial);
    const sends: Promise<void>[] = [];
    for (let sent = 0; sent < bytes.length; sent += this.#piece) {
      sends.push(this.#socket.sendFdsAll(bytes.subarray(sent, sent + this.#piece), sent === 0 ? message.fds : []));
    }
    await Promise.all(sends);
    return serial;
  }

  /** The next message that is not from the bus itself. */
  async receive(): Promise<Message> {
    return this.#early.shift() ?? (await this.#next());
  }

  /** Calls a method, and returns the answer. */
  async call(message: Omit<Outgoing, "type">): Promise<Message> {
    const serial = await this.send({ ...message, type: "call" });
    for (;;) {
      const answer = await this.#next();
      if (answer.replySerial !== serial) this.#early.push(answer);
      else if (answer.type === "return") return answer;
      else throw new Error(`${answer.errorName}: ${answer.body}`);
    }
  }

  /** Waits until the bus has processed all earlier messages. */
  async flushed(): Promise<void> {
    (await this.call({ ...BUS, member: "GetId" }))[Symbol.dispose]();
  }

  async #next(): Promise<Message> {
    for (;;) {
      const message = await readMessage(this.#reader);
      if (message.sender !== BUS.destination || message.type !== "signal") return message;
    }
  }

  [Symbol.dispose](): void {
    this.#reader.close();
    for (const message of this.#early) message[Symbol.dispose]();
  }
}
