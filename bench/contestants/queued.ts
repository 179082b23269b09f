/**
 * The cost of one event while many bytes are queued in an FdReader: a peer in the same process sends one byte of the frame that a read
 * waits for, and the reader gets it. Arguments: `stream` or `seqpacket`; bytes that are queued before. Answers with the median of the
 * events: a copy of all for each doubling of the queue is a cost of few of them.
 */

import { setImmediate as turn } from "node:timers/promises";
import { UnixSeqpacket, UnixStream } from "unix-ancillary";
import { check, serve } from "./serve.ts";

const [type] = process.argv.slice(2);
const queued = Number(process.argv[3]);
/** After so many the reader is made anew: the queue may grow by a quarter. */
const EVENTS = queued / 4;
const RECORD_BYTES = 65536;

const byte = Buffer.alloc(1);
const record = Buffer.alloc(RECORD_BYTES);

/** Of a frame that has come for the most part, a reader needs no more room than it has: most of it is still to come. */
const ANNOUNCED = 4 * queued + RECORD_BYTES;

/** A reader with a read in progress and the bytes in its queue, and the socket that sends to it. */
async function start() {
  const [sender, receiver] = type === "stream" ? UnixStream.pair() : UnixSeqpacket.pair();
  const reader = receiver.reader();
  // It fails when the reader is closed.
  const read = reader.read(ANNOUNCED).catch(() => {});
  for (let left = queued; left > 0; ) {
    const some = Math.min(left, RECORD_BYTES);
    await sender.sendFdsAll(record.subarray(0, some));
    left -= some;
    while (reader.queuedBytes < queued - left) await turn();
  }
  return { sender, reader, read };
}
let state = await start();

async function refill(): Promise<void> {
  state.reader.close();
  state.sender.close();
  await state.read;
  state = await start();
}

/** Nanoseconds of one event. */
async function event(): Promise<number> {
  const { sender, reader } = state;
  const before = reader.queuedBytes;
  const began = process.hrtime.bigint();
  check(sender.trySendFds(byte) === 1, "room for a byte");
  while (reader.queuedBytes === before) await turn();
  return Number(process.hrtime.bigint() - began);
}

await serve(async (rounds) => {
  const took: number[] = [];
  for (let i = 0; i < rounds; i++) {
    if (state.reader.queuedBytes >= queued + EVENTS) await refill();
    took.push(await event());
  }
  return took.sort((a, b) => a - b)[Math.floor(rounds / 2)]!;
});
process.exit();
