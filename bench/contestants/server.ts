/** What both servers with many connections share. */

import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { setImmediate as turn } from "node:timers/promises";

/** Connections that are there before memory is measured: what the first ones load is no cost of the others. */
export const FEW = 10;

/** Where the server of process `pid` listens: the abstract namespace, nothing is left behind. */
export function listenerPath(pid: number): string {
  return `\0unix-ancillary-bench-${pid}`;
}

/** In the server: tells the parent that it listens, then its resident memory whenever it asks, and ends with it. */
export function reportMemory(): void {
  process.on("message", async () => {
    for (let i = 0; i < 4; i++) {
      global.gc!();
      // Finalizers, and what they free, have turns of their own.
      await turn();
    }
    process.send!(process.memoryUsage.rss());
  });
  process.on("disconnect", () => process.exit());
  process.send!("listening");
}

/** Resident bytes of a server, after its garbage is collected. */
export async function memoryOf(server: ChildProcess): Promise<number> {
  server.send("memory");
  const [bytes] = await once(server, "message");
  return bytes;
}
