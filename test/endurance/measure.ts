/** Shared by the programs of this folder. */

import { type ChildProcess, spawn as spawnProcess } from "node:child_process";
import { OwnedFd, UnixStream } from "unix-ancillary";
import { openFds } from "../support.ts";

export const quick: boolean = process.argv.includes("--quick");

/** A count, or a tenth of it with `--quick`. */
export function amount(full: number): number {
  return quick ? full / 10 : full;
}

export function check(good: boolean, what: string): asserts good {
  if (!good) throw new Error(what);
}

/** Resident bytes after garbage collection. */
export function resident(): number {
  for (let i = 0; i < 4; i++) (globalThis as { gc?: () => void }).gc?.();
  return process.memoryUsage.rss();
}

/**
 * The ratio of resident memory to what it was before; fails beyond `limit`. A reading above the limit is repeated for two seconds, as
 * a leak does not go away. Numbers are formatted later, as that loads 7 MB of ICU.
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

/** The role of this process; undefined in the first one. */
export const role: string | undefined = process.argv.find((argument) => argument.startsWith("--role="))?.slice(7);

/** Starts this program again, with one end of a pair as descriptor 3. */
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

/** Fails if the number of open descriptors, of this process or another one, has changed. */
export async function sameDescriptors(before: number, pid?: number): Promise<void> {
  // libuv closes some descriptors a turn later: wait for that.
  for (let turn = 0; turn < 200 && openFds(pid).size !== before; turn++)
    await new Promise((resolve) => setTimeout(resolve, 5));
  const open = openFds(pid);
  check(open.size === before, `${open.size} descriptors are open, there were ${before}: ${[...open].join(" ")}`);
}

export function perSecond(count: number, start: bigint): string {
  return `${Math.round((count / Number(process.hrtime.bigint() - start)) * 1e9).toLocaleString("en")} a second`;
}
