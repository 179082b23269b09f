/**
 * Hostile sessions: a hundred thousand peers (`--quick`: a tenth) that break the protocol, from a seed (`--seed N`). Each session
 * ends with a typed error or a clean close, memory stays flat, and no descriptor stays open.
 */

import { openSync } from "node:fs";
import { ChannelError, FdChannel, UnixSeqpacket, UnixStream } from "unix-ancillary";
import { generator } from "../../src/testing/random.ts";
import { openFds } from "../support.ts";
import { amount, growthSince, quick, resident } from "./measure.ts";

const SESSIONS = amount(100_000);
const seed = Number(process.argv[process.argv.indexOf("--seed") + 1]) || 1;
const random = generator(seed);

const file = openSync("/dev/null", "r");

/** A frame in which random parts are wrong. */
function frame(): { bytes: Buffer; fds: number } {
  const payload = random(60);
  const fds = random(4) === 0 ? random(6) : 0;
  const bytes = Buffer.alloc(20 + payload, random(256));
  bytes.write("UANC");
  bytes[4] = 1;
  bytes[5] = 0;
  bytes.writeUInt16BE(fds, 6);
  bytes.writeUInt32BE(payload, 8);
  bytes.writeBigUInt64BE(1n, 12);
  switch (random(12)) {
    case 0:
      bytes[random(20)] = random(256);
      break;
    case 1:
      bytes.writeUInt32BE(random(2 ** 32), 8);
      break;
    case 2:
      bytes.writeUInt16BE(random(65536), 6);
      break;
    case 3:
      for (let i = 0; i < bytes.length; i++) bytes[i] = random(256);
      break;
    case 4:
      return { bytes: bytes.subarray(0, random(bytes.length + 1)), fds };
    case 5:
      return { bytes, fds: random(12) };
    default:
      break;
  }
  return { bytes, fds };
}

/** Sends bytes in pieces, with the descriptors on any of them; pieces that do not fit are dropped. */
function attack(peer: UnixStream | UnixSeqpacket): void {
  for (let frames = random(4); frames >= 0; frames--) {
    const { bytes, fds } = frame();
    const pieces = [1, 1, 2, bytes.length][random(4)]!;
    let left = fds;
    for (let at = 0; at < bytes.length; ) {
      const length = pieces === 1 ? bytes.length - at : Math.min(bytes.length - at, 1 + random(7));
      const now = random(3) === 0 || at === 0 ? left : 0;
      left -= now;
      peer.trySendFds(bytes.subarray(at, at + length), new Array<number>(now).fill(file));
      at += length;
    }
  }
}

const outcomes = new Map<string, number>();
const count = (what: string): void => void outcomes.set(what, (outcomes.get(what) ?? 0) + 1);
const before = openFds().size;
let warm = 0;
const start = process.hrtime.bigint();
for (let session = 0; session < SESSIONS; session++) {
  // A WeakRef keeps its target until the event loop turns: without a pause, sessions would accumulate.
  if (session % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
  const [peer, socket] = random(4) === 0 ? UnixSeqpacket.pair() : UnixStream.pair();
  // A record may be empty, with descriptors and no byte.
  if (peer instanceof UnixSeqpacket && random(8) === 0) peer.trySendFds("", new Array<number>(random(3)).fill(file));
  const channel = FdChannel.over(socket, { maxPayload: 1000, maxFds: 8, frameTimeout: 2 });
  attack(peer);
  // Some peers stay connected and send nothing more.
  const stays = random(200) === 0;
  if (!stays) peer.close();
  try {
    for (;;) {
      const received = await channel.recv(stays ? { signal: AbortSignal.timeout(20) } : {});
      if (received === null) break;
      received[Symbol.dispose]();
      if (stays && random(2) === 0) break;
    }
    count("clean end");
  } catch (error) {
    if (!(error instanceof ChannelError) && (error as { code?: string }).code !== "ECONNRESET") {
      if (stays && (error as Error).name === "TimeoutError") count("silence");
      else throw error;
    } else count((error as { code: string }).code);
  }
  channel.close();
  peer.close();
  if (session === SESSIONS / 2) warm = resident();
}
const seconds = Number(process.hrtime.bigint() - start) / 1e9;
// With --quick the run is too short for the memory to settle.
const growth = await growthSince(warm, quick ? 1.5 : 1.05);
const after = openFds().size;
if (after !== before) throw new Error(`seed ${seed}: expected ${before} descriptors, got ${after}`);
if (outcomes.size < 6) throw new Error(`seed ${seed}: too few kinds of outcomes: ${[...outcomes.keys()]}`);
console.log(
  `${SESSIONS.toLocaleString("en")} hostile sessions, seed ${seed}, ${Math.round(SESSIONS / seconds).toLocaleString("en")} a second, memory ${growth} times that at half: ${[...outcomes].map(([what, times]) => `${what} ${times}`).join(", ")}`,
);
