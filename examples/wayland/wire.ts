/**
 * The wire format of Wayland, for either end: the number of an object, the size and the opcode, then arguments in words of 32 bits, of the
 * host's byte order. A descriptor is no bytes: it comes beside them, in the order of the arguments.
 */

import { endianness } from "node:os";
import type { AsFd, FdReader, OwnedFd, UnixStream } from "unix-ancillary";

const LITTLE = endianness() === "LE";
const HEADER_BYTES = 8;

/** An argument: an integer or the number of an object, a string, an array, or a descriptor. */
export type Argument = number | string | Uint8Array | { readonly fd: AsFd };

const padded = (bytes: number): number => (bytes + 3) & ~3;

/** A request or an event that arrived. Its arguments are read in their order. */
export class Message {
  readonly object: number;
  readonly opcode: number;
  readonly #body: DataView;
  readonly #reader: FdReader;
  #at = 0;

  constructor(object: number, opcode: number, body: Buffer, reader: FdReader) {
    this.object = object;
    this.opcode = opcode;
    this.#body = new DataView(body.buffer, body.byteOffset, body.length);
    this.#reader = reader;
  }

  uint(): number {
    const value = this.#body.getUint32(this.#at, LITTLE);
    this.#at += 4;
    return value;
  }

  int(): number {
    return this.uint() | 0;
  }

  string(): string {
    // The length counts the NUL.
    const length = this.uint();
    const bytes = Buffer.from(this.#body.buffer, this.#body.byteOffset + this.#at, length - 1);
    this.#at += padded(length);
    return bytes.toString();
  }

  /** The caller owns it. */
  fd(): OwnedFd {
    return this.#reader.takeFds(1)[0]!;
  }
}

/** One end of a connection. */
export class Wire implements Disposable {
  readonly #stream: UnixStream;
  readonly #reader: FdReader;

  constructor(stream: UnixStream) {
    this.#stream = stream;
    this.#reader = stream.reader();
  }

  /** Sends a request or an event. */
  async send(object: number, opcode: number, ...args: readonly Argument[]): Promise<void> {
    const parts: Buffer[] = [];
    const fds: AsFd[] = [];
    for (const argument of args) {
      if (typeof argument === "number") parts.push(words(argument));
      else if (typeof argument === "object" && "fd" in argument) fds.push(argument.fd);
      else {
        const bytes = Buffer.from(typeof argument === "string" ? `${argument}\0` : argument);
        parts.push(words(bytes.length), bytes, Buffer.alloc(padded(bytes.length) - bytes.length));
      }
    }
    const size = parts.reduce((sum, { length }) => sum + length, HEADER_BYTES);
    // Descriptors go with the first byte of their message: the peer has them when it reads it.
    await this.#stream.sendFdsAll(Buffer.concat([words(object, ((size << 16) | opcode) >>> 0), ...parts]), fds);
  }

  /** The next request or event; null at the end. */
  async next(): Promise<Message | null> {
    if (await this.#reader.ended()) return null;
    const header = await this.#reader.read(HEADER_BYTES);
    const view = new DataView(header.buffer, header.byteOffset, HEADER_BYTES);
    const sizeAndOpcode = view.getUint32(4, LITTLE);
    const body = await this.#reader.read((sizeAndOpcode >>> 16) - HEADER_BYTES);
    return new Message(view.getUint32(0, LITTLE), sizeAndOpcode & 0xffff, body, this.#reader);
  }

  [Symbol.dispose](): void {
    this.#reader.close();
  }
}

function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  values.forEach((value, i) => {
    view.setUint32(4 * i, value, LITTLE);
  });
  return bytes;
}
