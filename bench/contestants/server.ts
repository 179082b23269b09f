/** The shared part of the servers with many connections. */

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as delay, setImmediate as turn } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { args, options } from "./peer.ts";

/**
 * Connections made and messages exchanged before memory is measured: the first ones load and compile code, 4 MiB, which is not a
 * cost of the later ones.
 */
export const FEW = 100;
export const WARM_UP_MESSAGES = 5000;

/** The address of the server of process `pid`: an abstract name, which leaves no file behind. */
export function listenerPath(pid: number): string {
  return `\0unix-ancillary-bench-${pid}`;
}

/** Whether to measure memory: the second argument. */
const measuresMemory: boolean = args[1] === "memory";

/**
 * How long a server is idle before its memory is read. V8 returns the pages of its nursery in a collection that finds few recent
 * allocations. In an idle program it starts such a collection itself after 8 s.
 */
const IDLE_MS = 6000;

/** Starts this file again, as the server. */
export async function startServer(url: string): Promise<ChildProcess> {
  const server = fork(fileURLToPath(url), args, options);
  await once(server, "message");
  return server;
}

/** In the server: reports to the parent that it listens, then its resident memory on request, and ends with the parent. */
export function reportMemory(): void {
  const collect = async () => {
    for (let i = 0; i < 4; i++) {
      global.gc!();
      // Finalizers run in later turns of the event loop, and free more.
      await turn();
    }
  };
  process.on("message", async () => {
    await collect();
    await delay(IDLE_MS);
    await collect();
    process.send!(process.memoryUsage.rss());
  });
  process.on("disconnect", () => process.exit());
  process.send!("listening");
}

/** Resident bytes of an idle server, after garbage collection; 0 if memory is not measured. */
export async function memoryOf(server: ChildProcess): Promise<number> {
  if (!measuresMemory) return 0;
  server.send("memory");
  const [bytes] = await once(server, "message");
  return bytes;
}
