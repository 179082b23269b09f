/**
 * Frames through a channel between two processes: a million with a descriptor each way (`--quick`: a tenth). They arrive in order,
 * with the right descriptors; memory stays flat, and the number of descriptors unchanged.
 */

import { fstatSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { FdChannel, spawn } from "unix-ancillary";
import { fileWith, openFds } from "../support.ts";
import { amount, check, growthSince, resident, sameDescriptors } from "./measure.ts";

const FRAMES = amount(1_000_000);
/** The number of frames in flight. */
const WINDOW = 32;

if (process.argv.includes("--child")) {
  const channel = FdChannel.fromParent();
  for await (const frame of channel) {
    await channel.send(frame.payload, frame.fds);
    frame[Symbol.dispose]();
  }
  process.exit(0);
}

const files = Array.from({ length: 3 }, (_, i) => openSync(fileWith(`file ${i}`), "r"));
const inodes = files.map((fd) => fstatSync(fd).ino);
const { child, channel } = spawn(process.execPath, [fileURLToPath(import.meta.url), "--child"], {
  stdio: ["ignore", "inherit", "inherit"],
});
const exited = new Promise((resolve) => child.once("exit", resolve));
const before = openFds().size;
// After its first answer, the child has opened all descriptors that it keeps.
await channel.send("started?");
await channel.recv();
const childBefore = openFds(child.pid).size;

let sent = 0;
let came = 0;
let warm = 0;
const sending = (async () => {
  while (sent < FRAMES) {
    while (sent - came < WINDOW && sent < FRAMES) {
      await channel.send(`frame ${sent}`, [files[sent % files.length]!]);
      sent++;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
})();
const start = process.hrtime.bigint();
while (came < FRAMES) {
  const frame = await channel.recv();
  check(frame !== null, "the end came early");
  check(frame.payload.toString() === `frame ${came}`, `expected frame ${came}, got ${frame.payload}`);
  check(frame.messageId === BigInt(came + 2), `expected id ${came + 2}, got ${frame.messageId}`);
  check(frame.fds.length === 1, `expected 1 descriptor, got ${frame.fds.length}`);
  // Check one in a hundred: fstat takes as long as the rest.
  if (came % 100 === 0) check(fstatSync(frame.fds[0]!.fd).ino === inodes[came % files.length], "another descriptor");
  frame[Symbol.dispose]();
  came++;
  if (came === FRAMES / 2) warm = resident();
}
await sending;
const seconds = Number(process.hrtime.bigint() - start) / 1e9;
const growth = await growthSince(warm);
await sameDescriptors(before);
await sameDescriptors(childBefore, child.pid);
channel.close();
check((await exited) === 0, "the child failed");
console.log(
  `${FRAMES.toLocaleString("en")} frames there and back in order, ${Math.round(FRAMES / seconds).toLocaleString("en")} a second, memory ${growth} times that at half`,
);
