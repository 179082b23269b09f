/**
 * Shared memory: two processes read and write the same bytes, and the receiver checks the memory before it uses it.
 *
 * `node build/examples/shared-memory.js`. Another process that has the same memory can truncate it in the middle of a read. The
 * seals of a memfd prevent this: they forbid shrinking and growing for all processes, permanently. So the receiver checks
 * the descriptor with `describe()`, and accepts only a memfd of the expected size with the required seals.
 *
 * Only Linux has memfds. Elsewhere the memory is an unlinked file in /dev/shm: it has no seals, and the receiver trusts the sender
 * instead.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fstatSync, ftruncateSync, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { memfd, OwnedFd, UnixStream } from "unix-ancillary";

const SLOTS = 4096;
/** A number to square and its square, 8 bytes each. */
const SLOT_BYTES = 16;
const SIZE = SLOTS * SLOT_BYTES;
const ROUNDS = 8;
/** The seals that the receiver requires. Not "write": both sides write. */
const REQUIRED = ["seal", "shrink", "grow"] as const;

/** Reads numbers from the memory. A short read is an error and never yields zeros. */
function load(fd: number, from: number, count: number): BigUint64Array {
  const numbers = new BigUint64Array(count);
  assert.equal(readSync(fd, numbers, 0, numbers.byteLength, from), numbers.byteLength);
  return numbers;
}
function store(fd: number, at: number, numbers: BigUint64Array): void {
  assert.equal(writeSync(fd, numbers, 0, numbers.byteLength, at), numbers.byteLength);
}

/** Memory without a path and without seals. */
function unlinkedFile(): OwnedFd {
  const path = `/dev/shm/unix-ancillary-${process.pid}`;
  const memory = OwnedFd.fromRaw(openSync(path, "wx+", 0o600));
  unlinkSync(path);
  ftruncateSync(memory.fd, SIZE);
  return memory;
}

/** Why the receiver refuses this memory; null if it accepts it. */
function objection(memory: OwnedFd, requireMemfd: boolean): string | null {
  const { kind, access, size, seals = [] } = memory.describe();
  if (access !== "read-write") return `its access is ${access}`;
  if (size !== SIZE) return `it has ${size} bytes, not ${SIZE}`;
  // Without seals, accept only a file without a path, which no other process can open, and trust the sender not to truncate it.
  if (!requireMemfd) return kind === "file" && fstatSync(memory.fd).nlink === 0 ? null : `a ${kind} is not expected`;
  if (kind !== "memfd") return `it is a ${kind}, not a memfd`;
  const missing = REQUIRED.filter((seal) => !seals.includes(seal));
  return missing.length === 0 ? null : `it lacks the seals ${missing.join(", ")}`;
}

/** The receiver: squares the numbers of a round when told that they are written. */
async function squarer(requireMemfd: boolean): Promise<void> {
  const stream = UnixStream.from(OwnedFd.fromRaw(3));
  let memory: OwnedFd | undefined;
  while (memory === undefined) {
    const message = await stream.recvFdsExact(1);
    const reason = objection(message.fds[0]!, requireMemfd);
    await stream.sendFds(reason ?? "accepted");
    if (reason === null) memory = message.fds[0]!;
    else message[Symbol.dispose]();
  }
  // From here on the stream only carries the turns, not the numbers.
  for await (const message of stream.messages(0)) {
    const round = message.data[0]!;
    for (let slot = round; slot < SLOTS; slot += ROUNDS) {
      const [number] = load(memory.fd, slot * SLOT_BYTES, 1);
      store(memory.fd, slot * SLOT_BYTES + 8, BigUint64Array.of(number! ** 2n));
    }
    await stream.sendFds(Uint8Array.of(round));
  }
  memory.close();
  stream.close();
}

async function owner(): Promise<void> {
  const hasMemfd = process.platform === "linux";
  const [stream, theirs] = UnixStream.pair();
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), "squarer", String(hasMemfd)], {
    stdio: ["ignore", "inherit", "inherit", theirs.fd],
  });
  theirs.close();
  const exit = once(child, "exit");
  const offer = async (what: string, memory: OwnedFd): Promise<string> => {
    await stream.sendFds("numbers", [memory]);
    const answer = (await stream.recvFds(0)).data.toString();
    console.log(`offered ${what}: ${answer}`);
    return answer;
  };

  if (hasMemfd) {
    for (const [what, memory, refusal] of [
      ["a file of /dev/shm", unlinkedFile(), "it is a file, not a memfd"],
      ["a memfd that can be truncated", memfd("numbers", { size: SIZE }), "it lacks the seals shrink, grow"],
    ] as const) {
      assert.equal(await offer(what, memory), refusal);
      memory.close();
    }
  } else {
    console.log("NOTE: this system has no memfd: uses a file in /dev/shm, and does not test the seals");
    assert.equal(process.env.CI, undefined, "in CI no part is skipped");
  }
  const memory = hasMemfd ? memfd("numbers", { size: SIZE, seal: REQUIRED }) : unlinkedFile();
  assert.equal(await offer(hasMemfd ? "a sealed memfd" : "a file without a path", memory), "accepted");
  if (hasMemfd) assert.throws(() => ftruncateSync(memory.fd, 0), { code: "EPERM" });

  for (let round = 0; round < ROUNDS; round++) {
    for (let slot = round; slot < SLOTS; slot += ROUNDS) {
      store(memory.fd, slot * SLOT_BYTES, BigUint64Array.of(BigInt(slot * 1_000_003)));
    }
    await stream.sendFds(Uint8Array.of(round));
    assert.equal((await stream.recvFds(0)).data[0], round);
  }
  const numbers = load(memory.fd, 0, 2 * SLOTS);
  for (let slot = 0; slot < SLOTS; slot++) assert.equal(numbers[2 * slot + 1], BigInt(slot * 1_000_003) ** 2n);
  stream.close();
  memory.close();
  assert.deepEqual(await exit, [0, null]);
  console.log(`held: one process wrote ${SLOTS} numbers and the other squared them, in ${SIZE} bytes of shared memory`);
}

await (process.argv[2] === "squarer" ? squarer(process.argv[3] === "true") : owner());
