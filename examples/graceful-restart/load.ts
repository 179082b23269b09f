/** The load of the graceful restart: clients that send requests without a pause until told to stop, and count failures. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent, get } from "node:http";

/** The number of clients that keep their connections, and of those that do not. */
const CLIENTS = 6;

/** The results of the load. */
export interface LoadReport {
  readonly requests: number;
  /** The failed requests, with their errors. */
  readonly failures: string[];
  /** Milliseconds. */
  readonly slowest: number;
  /** The servers that answered. */
  readonly pids: number[];
}

const port = Number(process.argv[2]);
let stopped = false;
let requests = 0;
let slowest = 0;
const failures: string[] = [];
const pids = new Set<number>();

/** Sends one request. Node's client does not retry, so every failure is counted. */
async function ask(agent: Agent): Promise<void> {
  const path = `/${requests++}`;
  const start = performance.now();
  try {
    const [response] = await once(get({ host: "127.0.0.1", port, path, agent }), "response");
    let body = "";
    for await (const chunk of response) body += chunk;
    const [echo, pid] = body.split(" ");
    assert.deepEqual([response.statusCode, echo], [200, path]);
    pids.add(Number(pid));
  } catch (error) {
    failures.push(`${path}: ${(error as Error).message}`);
  }
  slowest = Math.max(slowest, performance.now() - start);
}

process.once("message", () => {
  stopped = true;
});
process.once("disconnect", () => process.exit());
const agents = [new Agent({ keepAlive: true, maxSockets: CLIENTS }), new Agent({ keepAlive: false })];
const clients = agents.flatMap((agent) =>
  Array.from({ length: CLIENTS }, async () => {
    while (!stopped) await ask(agent);
  }),
);
await Promise.all(clients);
for (const agent of agents) agent.destroy();
const report: LoadReport = { requests, failures, slowest, pids: [...pids] };
process.send!(report);
process.disconnect();
