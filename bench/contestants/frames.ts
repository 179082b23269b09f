/**
 * Frames in one direction, two processes. The receiver closes the descriptors, and answers when everything has arrived. Arguments:
 * `channel` (FdChannel) or `reader` (the same frames by FdReader and sendFdsAll); `stream` or `seqpacket`; bytes of payload;
 * descriptors of each frame, 0 or 1.
 */

import { openSync } from "node:fs";
import { FdChannel, type FdReader, OwnedFd, UnixSeqpacket, UnixStream } from "unix-ancillary";
import { HEADER_BYTES, pieces, readHeader, writeHeader } from "./framing.ts";
import { args, isPeer, startPeer } from "./peer.ts";
import { check, serve } from "./serve.ts";

const [way, type] = args as [string, string];
const [bytes, count] = args.slice(2).map(Number) as [number, number];
const file = OwnedFd.fromRaw(openSync("/dev/null", "r"));
const fds = count > 0 ? [file] : [];
const limits = { maxPayload: Math.max(bytes, 4) };
const kind = type === "stream" ? UnixStream : UnixSeqpacket;

async function receiveFrames(channel: FdChannel, frames: number): Promise<void> {
  for (let i = 0; i < frames; i++) {
    const frame = await channel.recv();
    check(frame !== null && frame.payload.length === bytes && frame.fds.length === count, "one frame");
    frame[Symbol.dispose]();
  }
}

async function readFrames(reader: FdReader, frames: number): Promise<void> {
  for (let i = 0; i < frames; i++) {
    const header = readHeader(await reader.read(HEADER_BYTES));
    const payload = await reader.read(header.payload);
    const owned = reader.takeFds(header.fds);
    check(payload.length === bytes && owned.length === count, "one frame");
    for (const fd of owned) fd.close();
  }
}

/** The number of frames comes first. */
async function serveChannel(channel: FdChannel): Promise<void> {
  for (;;) {
    const order = await channel.recv();
    if (order === null) break;
    await receiveFrames(channel, order.payload.readUInt32LE());
    await channel.send("x");
  }
}

async function serveReader(socket: UnixStream | UnixSeqpacket): Promise<void> {
  const reader = socket.reader();
  while (!(await reader.ended())) {
    await readFrames(reader, (await reader.read(4)).readUInt32LE());
    await socket.sendFdsAll("x");
  }
}

function orderOf(rounds: number): Buffer {
  const order = Buffer.alloc(4);
  order.writeUInt32LE(rounds);
  return order;
}

if (isPeer) {
  const socket = kind.from(OwnedFd.fromRaw(3));
  await (way === "channel" ? serveChannel(FdChannel.over(socket, limits)) : serveReader(socket));
  socket.close();
} else {
  const socket = startPeer(import.meta.url, kind);
  // Not zeros: pages that were never written are all the same page.
  const data = Buffer.alloc(bytes, 1);
  if (way === "channel") {
    const channel = FdChannel.over(socket, limits);
    await serve(async (rounds) => {
      await channel.send(orderOf(rounds));
      for (let i = 0; i < rounds; i++) await channel.send(data, fds);
      await channel.recv();
    });
  } else {
    await serve(async (rounds) => {
      await socket.sendFdsAll(orderOf(rounds));
      for (let i = 0; i < rounds; i++) {
        let left: readonly OwnedFd[] = fds;
        for (const piece of pieces(writeHeader(count, bytes, i), data, type)) {
          await socket.sendFdsAll(piece, left);
          left = [];
        }
      }
      await socket.recvFds(0);
    });
  }
  socket.close();
}
