/**
 * Shared memory: two processes read and write the same bytes, and the receiver checks what it was sent before it trusts it.
 *
 * `node build/examples/shared-memory.js`. Memory that somebody else holds too can be cut off under its reader, in the middle
 * of a read. A memfd can promise that it will not: its seals forbid shrinking and growing, for everybody and for good. So the
 * receiver looks at what came with `describe()`, and takes a memfd of the expected size with the seals it demands, or nothing.
 *
 * Node cannot make a memfd; Python can. Without Python the memory is a file of /dev/shm that is unlinked at once: it has no
 * seals, and the receiver says that it trusts the sender instead.
 */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { fstatSync, ftruncateSync, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { OwnedFd, UnixStream } from "unix-ancillary";

const SLOTS = 4096;
/** A number to square and the answer, of 8 bytes each. */
const SLOT_BYTES = 16;
const SIZE = SLOTS * SLOT_BYTES;
const ROUNDS = 8;
/** What the receiver insists on. Not "write": both sides write. */
const DEMANDED = ["seal", "shrink", "grow"] as const;

/** Numbers at a position of the memory. A read that is cut short is an error, and never zeros. */
function load(fd: number, from: number, count: number): BigUint64Array {
  const numbers = new BigUint64Array(count);
  assert.equal(readSync(fd, numbers, 0, numbers.byteLength, from), numbers.byteLength);
  return numbers;
}
function store(fd: number, at: number, numbers: BigUint64Array): void {
  assert.equal(writeSync(fd, numbers, 0, numbers.byteLength, at), numbers.byteLength);
}

/** Memory made by Python, which sends it from the other end of a pair: a memfd, with or without seals. */
async function memfd(sealed: boolean): Promise<OwnedFd> {
  const script = `
import fcntl, os, socket
fd = os.memfd_create("numbers", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
os.ftruncate(fd, ${SIZE})
if ${sealed ? "True" : "False"}:
    F_ADD_SEALS, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW = 1033, 1, 2, 4
    fcntl.fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
socket.send_fds(socket.socket(fileno=3), [b"numbers"], [fd])
`;
  const [ours, theirs] = UnixStream.pair();
  const python = spawn("python3", ["-c", script], { stdio: ["ignore", "inherit", "inherit", theirs.fd] });
  theirs.close();
  const exit = once(python, "exit");
  const { fds } = await ours.recvFdsExact(1);
  ours.close();
  assert.deepEqual(await exit, [0, null]);
  return fds[0]!;
}

/** Memory without a name and without seals. */
function unlinkedFile(): OwnedFd {
  const path = `/dev/shm/unix-ancillary-${process.pid}`;
  const memory = OwnedFd.fromRaw(openSync(path, "wx+", 0o600));
  unlinkSync(path);
  ftruncateSync(memory.fd, SIZE);
  return memory;
}

/** Why this cannot be trusted; null: it can. */
function objection(memory: OwnedFd, demandMemfd: boolean): string | null {
  const { kind, access, size, seals = [] } = memory.describe();
  if (access !== "read-write") return `it is open to ${access}`;
  if (size !== SIZE) return `it has ${size} bytes, not ${SIZE}`;
  // Without seals only what has no name is taken: nobody else can open it, and the sender is trusted not to cut it off.
  if (!demandMemfd) return kind === "file" && fstatSync(memory.fd).nlink === 0 ? null : `a ${kind} is not expected`;
  if (kind !== "memfd") return `it is a ${kind}, not a memfd`;
  const missing = DEMANDED.filter((seal) => !seals.includes(seal));
  return missing.length === 0 ? null : `it lacks the seals ${missing.join(", ")}`;
}

/** The receiver: squares the numbers of a round, when it is told that they are there. */
async function squarer(demandMemfd: boolean): Promise<void> {
  const stream = UnixStream.from(OwnedFd.fromRaw(3));
  let memory: OwnedFd | undefined;
  while (memory === undefined) {
    const message = await stream.recvFdsExact(1);
    const why = objection(message.fds[0]!, demandMemfd);
    await stream.sendFds(why ?? "taken");
    if (why === null) memory = message.fds[0]!;
    else message[Symbol.dispose]();
  }
  // From here on the stream only says whose turn it is. The numbers do not pass through it.
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
  const hasPython = spawnSync("python3", ["-c", "import os, socket; os.memfd_create, socket.send_fds"]).status === 0;
  const [stream, theirs] = UnixStream.pair();
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), "squarer", String(hasPython)], {
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

  if (hasPython) {
    for (const [what, memory, refusal] of [
      ["a file of /dev/shm", unlinkedFile(), "it is a file, not a memfd"],
      ["a memfd that can be cut off", await memfd(false), "it lacks the seals seal, shrink, grow"],
    ] as const) {
      assert.equal(await offer(what, memory), refusal);
      memory.close();
    }
  } else {
    console.log("NOTE: no python3 here to make a memfd: a file of /dev/shm, and the seals are not tried");
    assert.equal(process.env.CI, undefined, "in CI nothing is left out");
  }
  const memory = hasPython ? await memfd(true) : unlinkedFile();
  assert.equal(await offer(hasPython ? "a sealed memfd" : "a file without a name", memory), "taken");
  if (hasPython) assert.throws(() => ftruncateSync(memory.fd, 0), { code: "EPERM" });

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
  console.log(
    `held: ${SLOTS} numbers written by one process and squared by the other, in ${SIZE} bytes of shared memory`,
  );
}

await (process.argv[2] === "squarer" ? squarer(process.argv[3] === "true") : owner());
