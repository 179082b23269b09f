/**
 * How an HAProxy hands its listening sockets to the one that replaces it (its management guide, `-x`; src/cli.c, src/sock.c).
 *
 * The new process sends `_getsocks` and a line break to the old one's stats socket. The answer is the number of sockets, then messages
 * of {@link MOST_PER_MESSAGE} of them, the last of fewer. The new process answers each with four bytes, whatever they are; the old
 * one waits for them behind a full message only. With each socket come its network namespace and interface, a length byte before
 * either, and four bytes that mean nothing any more. Numbers are 32 bits, of the host's byte order.
 */

import { endianness } from "node:os";
import type { AsFd, FdReader, OwnedFd, UnixStream } from "unix-ancillary";

/** MAX_SEND_FD of HAProxy: the kernel takes one more. */
export const MOST_PER_MESSAGE = 252;

const COMMAND = "_getsocks\n";
const ACKNOWLEDGEMENT = Buffer.alloc(4);

/** A listening socket that came, and what was said of it. */
export interface HandedOver {
  readonly fd: OwnedFd;
  readonly namespace: string;
  readonly interface: string;
}

/** Takes the listening sockets of the HAProxy whose stats socket (`expose-fd listeners`) this is connected to, by message. */
export async function takeListeners(socket: UnixStream): Promise<HandedOver[][]> {
  using reader = socket.reader();
  const messages: HandedOver[][] = [];
  try {
    await socket.sendFdsAll(COMMAND);
    for (let left = await readInt32(reader); left > 0; left -= messages.at(-1)!.length) {
      const message: HandedOver[] = [];
      messages.push(message);
      do {
        const namespace = await readText(reader);
        const device = await readText(reader);
        await reader.read(4);
        const [fd] = reader.takeFds(1);
        message.push({ fd: fd!, namespace, interface: device });
        // They all came with the first byte of their message.
      } while (reader.queuedFds > 0);
      if (message.length === MOST_PER_MESSAGE) await socket.sendFdsAll(ACKNOWLEDGEMENT);
    }
    return messages;
  } catch (error) {
    for (const { fd } of messages.flat()) fd.close();
    throw error;
  }
}

/** Answers the HAProxy that has connected to take these; the number of messages it took. */
export async function handListenersOver(socket: UnixStream, listeners: readonly AsFd[]): Promise<number> {
  using reader = socket.reader();
  const command = (await reader.readUntil("\n", 100)).toString();
  if (command !== COMMAND) throw new Error(`expected ${COMMAND.trim()}, got ${command}`);
  await socket.sendFdsAll(int32(listeners.length));
  let messages = 0;
  for (let given = 0; given < listeners.length; messages++) {
    const some = listeners.slice(given, given + MOST_PER_MESSAGE);
    // No namespace, no interface.
    await socket.sendFdsAll(Buffer.alloc(some.length * (1 + 1 + 4)), some);
    given += some.length;
    await reader.read(ACKNOWLEDGEMENT.length);
  }
  return messages;
}

const little = endianness() === "LE";

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  if (little) bytes.writeInt32LE(value);
  else bytes.writeInt32BE(value);
  return bytes;
}

async function readInt32(reader: FdReader): Promise<number> {
  const bytes = await reader.read(4);
  return little ? bytes.readInt32LE() : bytes.readInt32BE();
}

async function readText(reader: FdReader): Promise<string> {
  const [length] = await reader.read(1);
  return (await reader.read(length!)).toString();
}
