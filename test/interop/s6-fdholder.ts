/**
 * The protocol of s6-fdholder: a daemon that holds descriptors by name (s6 src/fdholder, skalibs unixmessage).
 *
 * Either side sends frames: length of the payload (32 bits, big-endian), number of descriptors (16 bits), payload; the descriptors come
 * with it. A request is a letter and its arguments; the answer begins with an errno. An identifier is a length byte, the
 * characters and a zero.
 */

import { constants } from "node:os";
import { getSystemErrorName } from "node:util";
import { type AsFd, type FdReader, type OwnedFd, UnixStream } from "unix-ancillary";

interface Frame {
  readonly payload: Buffer;
  readonly fds: OwnedFd[];
}

const HEADER = 4 + 2;
/** Seconds and nanoseconds of a date (TAI64N). */
const DATE = 8 + 4;
/** The latest possible date. */
const NEVER = Buffer.from("7fffffffffffffff00000000", "hex");

async function readFrame(reader: FdReader): Promise<Frame> {
  const header = await reader.read(HEADER);
  const payload = await reader.read(header.readUInt32BE(0));
  return { payload, fds: reader.takeFds(header.readUInt16BE(4)) };
}

function sendFrame(socket: UnixStream, payload: readonly Uint8Array[], fds: readonly AsFd[] = []): Promise<void> {
  const header = Buffer.alloc(HEADER);
  header.writeUInt32BE(payload.reduce((sum, { length }) => sum + length, 0));
  header.writeUInt16BE(fds.length, 4);
  return socket.sendFdsAll([header, ...payload], fds);
}

const identifier = (id: string): Buffer => Buffer.from(`${String.fromCharCode(id.length)}${id}\0`, "latin1");

/** The identifier at an offset, and the offset after it. */
function identifierAt(payload: Buffer, offset: number): { id: string; end: number } {
  const end = offset + 1 + payload[offset]!;
  return { id: payload.toString("latin1", offset + 1, end), end: end + 1 };
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A connection to a holder. Refused requests fail with the code of its errno. */
export class FdHolder implements Disposable {
  readonly #socket: UnixStream;
  readonly #reader: FdReader;

  private constructor(socket: UnixStream) {
    this.#socket = socket;
    this.#reader = socket.reader();
  }

  static async connect(path: string): Promise<FdHolder> {
    return new FdHolder(await UnixStream.connect(path));
  }

  async store(id: string, fd: AsFd): Promise<void> {
    await this.#ask([Buffer.from("S"), NEVER, identifier(id)], [fd]);
  }

  /** Retrieves a stored descriptor; `forget` removes it from the store. */
  async retrieve(id: string, forget = false): Promise<OwnedFd> {
    const { fds } = await this.#ask([Buffer.from("R"), Uint8Array.of(forget ? 1 : 0), identifier(id)]);
    return fds[0]!;
  }

  async list(): Promise<string[]> {
    const { payload } = await this.#ask([Buffer.from("L")]);
    const ids = payload.toString("latin1", 4).split("\0").slice(0, -1);
    if (ids.length !== payload.readUInt32BE(0)) throw new Error(`expected ${payload.readUInt32BE(0)} of ${ids}`);
    return ids;
  }

  /** Retrieves all stored descriptors, and the number of frames. */
  async dump(): Promise<{ frames: number; held: Map<string, OwnedFd> }> {
    const { payload: counts } = await this.#ask([Buffer.from("?")]);
    const frames = counts.readUInt32BE(0);
    const held = new Map<string, OwnedFd>();
    for (let i = 0; i < frames; i++) {
      const { payload, fds } = await readFrame(this.#reader);
      let offset = 0;
      for (const fd of fds) {
        const { id, end } = identifierAt(payload, offset + DATE);
        held.set(id, fd);
        offset = end;
      }
    }
    if (held.size !== counts.readUInt32BE(4)) throw new Error(`expected ${counts.readUInt32BE(4)}, got ${held.size}`);
    return { frames, held };
  }

  [Symbol.dispose](): void {
    this.#reader.close();
  }

  async #ask(request: readonly Uint8Array[], fds: readonly AsFd[] = []): Promise<Frame> {
    await sendFrame(this.#socket, request, fds);
    const answer = await readFrame(this.#reader);
    const errno = answer.payload[0]!;
    if (errno !== 0) throw Object.assign(new Error(`refused: ${errno}`), { code: getSystemErrorName(-errno) });
    return { ...answer, payload: answer.payload.subarray(1) };
  }
}

/** Serves a connected client as a holder: stores, retrieves, lists and deletes, until the client finishes. */
export async function hold(socket: UnixStream, held: Map<string, OwnedFd>): Promise<void> {
  using reader = socket.reader();
  while (!(await reader.ended())) {
    const { payload, fds } = await readFrame(reader);
    const answer = (errno: number, more: readonly Uint8Array[] = [], given: readonly AsFd[] = []) =>
      sendFrame(socket, [Uint8Array.of(errno), ...more], given);
    const request = String.fromCharCode(payload[0]!);
    switch (request) {
      case "S": {
        const { id } = identifierAt(payload, 1 + DATE);
        if (held.has(id)) {
          for (const fd of fds) fd.close();
          await answer(constants.errno.EBUSY);
        } else {
          held.set(id, fds[0]!);
          await answer(0);
        }
        break;
      }
      case "R":
      case "D": {
        const forget = request === "D" || payload[1] === 1;
        const { id } = identifierAt(payload, request === "D" ? 1 : 2);
        const fd = held.get(id);
        if (forget) held.delete(id);
        if (fd === undefined) await answer(constants.errno.ENOENT);
        else await answer(0, [], request === "D" ? [] : [fd]);
        if (forget) fd?.close();
        break;
      }
      case "L":
        await answer(0, [uint32(held.size), ...[...held.keys()].map((id) => Buffer.from(`${id}\0`, "latin1"))]);
        break;
      default:
        await answer(constants.errno.ENOSYS);
    }
  }
}
