/** Frames as FdChannel sends them, 20 bytes of header and a payload, written plainly: what a program does that has no FdChannel. */

/** The bytes of a header. */
export const HEADER_BYTES = 20;

/** The most bytes of a frame in one record of a seqpacket socket. */
const RECORD_BYTES = 65536;

/** The header of a frame. */
export function writeHeader(fds: number, payload: number, id: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write("UANC", "latin1");
  header[4] = 1;
  header.writeUInt16BE(fds, 6);
  header.writeUInt32BE(payload, 8);
  header.writeBigUInt64BE(BigInt(id), 12);
  return header;
}

/** Reads a header: its descriptors and bytes of payload. */
export function readHeader(header: Buffer): { fds: number; payload: number } {
  if (header.readUInt32BE(0) !== 0x55414e43 || header[4] !== 1 || header[5] !== 0) throw new Error("not a frame");
  return { fds: header.readUInt16BE(6), payload: header.readUInt32BE(8) };
}

/** The messages of a frame: one on a stream socket, records of at most 64 KiB on a seqpacket socket. */
export function pieces(header: Buffer, payload: Buffer, type: string): Uint8Array[][] {
  const whole = HEADER_BYTES + payload.length;
  if (type === "stream" || whole <= RECORD_BYTES) return [[header, payload]];
  const first = RECORD_BYTES - HEADER_BYTES;
  const records: Uint8Array[][] = [[header, payload.subarray(0, first)]];
  for (let at = first; at < payload.length; at += RECORD_BYTES) records.push([payload.subarray(at, at + RECORD_BYTES)]);
  return records;
}

/** Cuts the bytes of a stream into frames. A payload that came in one piece is not copied. */
export class Frames {
  #pieces: Buffer[] = [];
  #queued = 0;
  /** The payload that comes next; -1: a header. */
  #payload = -1;
  readonly #got: (payload: Buffer) => void;

  constructor(got: (payload: Buffer) => void) {
    this.#got = got;
  }

  push(bytes: Buffer): void {
    this.#pieces.push(bytes);
    this.#queued += bytes.length;
    for (;;) {
      const wanted = this.#payload === -1 ? HEADER_BYTES : this.#payload;
      if (this.#queued < wanted) return;
      const taken = this.#take(wanted);
      if (this.#payload === -1) this.#payload = readHeader(taken).payload;
      else {
        this.#payload = -1;
        this.#got(taken);
      }
    }
  }

  #take(bytes: number): Buffer {
    const first = this.#pieces[0];
    const whole = first !== undefined && first.length >= bytes ? first : Buffer.concat(this.#pieces);
    if (whole !== first) this.#pieces = [whole];
    this.#queued -= bytes;
    if (whole.length === bytes) this.#pieces.shift();
    else this.#pieces[0] = whole.subarray(bytes);
    return whole.subarray(0, bytes);
  }
}
