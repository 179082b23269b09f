/** What both servers with many connections share. */

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as delay, setImmediate as turn } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { args, options } from "./peer.ts";

/**
 * Connections that are there before memory is measured, and messages that they have exchanged: what the first ones load and compile,
 * 4 MiB, is no cost of the others.
 */
export const FEW = 100;
export const WARM_UP_MESSAGES = 5000;

/** Where the server of process `pid` listens: the abstract namespace, nothing is left behind. */
export function listenerPath(pid: number): string {
  return `\0unix-ancillary-bench-${pid}`;
}

/** Whether memory is asked for: then the second argument says so. */
const measuresMemory: boolean = args[1] === "memory";

/**
 * How long a server does nothing before its memory is read: V8 gives the pages of its nursery back by a collection that finds
 * that little was allocated of late. In a program that is left alone it starts one itself after 8 s.
 */
const IDLE_MS = 6000;

/** Starts this file again, as the server. */
export async function startServer(url: string): Promise<ChildProcess> {
  const server = fork(fileURLToPath(url), args, options);
  await once(server, "message");
  return server;
}

/** In the server: tells the parent that it listens, then its resident memory whenever it asks, and ends with it. */
export function reportMemory(): void {
  const collect = async () => {
    for (let i = 0; i < 4; i++) {
      global.gc!();
      // Finalizers, and what they free, have turns of their own.
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

/** Resident bytes of an idle server, after its garbage is collected; 0: not asked for. */
export async function memoryOf(server: ChildProcess): Promise<number> {
  if (!measuresMemory) return 0;
  server.send("memory");
  const [bytes] = await once(server, "message");
  return bytes;
}
