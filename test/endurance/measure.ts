/** What the programs of this folder share. */

import { type ChildProcess, spawn as spawnProcess } from "node:child_process";
import { OwnedFd, UnixStream } from "unix-ancillary";
import { openFds } from "../support.ts";

export const quick: boolean = process.argv.includes("--quick");

/** As many as are asked for, or a tenth. */
export function amount(full: number): number {
  return quick ? full / 10 : full;
}

export function check(good: boolean, what: string): asserts good {
  if (!good) throw new Error(what);
}

/** Resident bytes, without what can be collected. */
export function resident(): number {
  for (let i = 0; i < 4; i++) (globalThis as { gc?: () => void }).gc?.();
  return process.memoryUsage.rss();
}

/**
 * How much resident memory is there of what was there; fails beyond `limit`. A leak stays: a reading above the limit is taken again
 * for two seconds. Numbers are written later: that loads 7 MB of ICU.
 */
export async function growthSince(warm: number, limit = 1.05): Promise<string> {
  let growth = resident() / warm;
  for (let again = 0; again < 20 && growth >= limit; again++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    growth = Math.min(growth, resident() / warm);
  }
  check(growth < limit, `resident memory grew ${growth.toFixed(3)} times`);
  return growth.toFixed(3);
}

/** The role this program was started in again; undefined: the first one. */
export const role: string | undefined = process.argv.find((argument) => argument.startsWith("--role="))?.slice(7);

/** This program again, with one end of a pair at descriptor 3. */
export function startPeer(
  path: string,
  name: string,
): { child: ChildProcess; stream: UnixStream; exited: Promise<number | null> } {
  const [ours, theirs] = UnixStream.pair();
  const child = spawnProcess(process.execPath, ["--expose-gc", path, `--role=${name}`, ...process.argv.slice(2)], {
    stdio: ["ignore", "inherit", "inherit", theirs.fd],
  });
  theirs.close();
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  return { child, stream: ours, exited };
}

/** The peer's end. */
export function inherited(): UnixStream {
  return UnixStream.from(OwnedFd.fromRaw(3));
}

/** Fails when the number of open descriptors, of this process or of another one, is not what it was. */
export async function sameDescriptors(before: number, pid?: number): Promise<void> {
  // What libuv closes a turn later is waited for.
  for (let turn = 0; turn < 200 && openFds(pid).size !== before; turn++)
    await new Promise((resolve) => setTimeout(resolve, 5));
  const open = openFds(pid);
  check(open.size === before, `${open.size} descriptors are open, there were ${before}: ${[...open].join(" ")}`);
}

export function perSecond(count: number, start: bigint): string {
  return `${Math.round((count / Number(process.hrtime.bigint() - start)) * 1e9).toLocaleString("en")} a second`;
}
