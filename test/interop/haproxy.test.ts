/** HAProxy's hand-over of listening sockets, with this test as the new process or the old one. */

import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer, get } from "node:http";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { type OwnedFd, UnixListener, UnixStream } from "unix-ancillary";
import * as assert from "uvu/assert";
import { fileWith, temporaryFolder } from "../support.ts";
import { handListenersOver, MOST_PER_MESSAGE, takeListeners } from "./haproxy.ts";
import { interop, Program } from "./programs.ts";

const test = interop("haproxy");
const needs = [{ debian: "haproxy", probe: ["haproxy", "-v"] }] as const;

/** More listening sockets than fit into one message. */
const MANY = MOST_PER_MESSAGE + 48;

/** An HAProxy that answers each request with its name. */
function haproxy(addresses: readonly string[], stats: string, args: readonly string[] = []): Program {
  const config = `
global
  stats socket ${stats} mode 600 level admin expose-fd listeners
defaults
  mode http
  timeout client 10s
frontend test
${addresses.map((address) => `  bind ${address}`).join("\n")}
  http-request return status 200 content-type text/plain string HAProxy
`;
  return new Program("haproxy", ["-db", "-f", fileWith(config), ...args]);
}

/** The answer to a request over this connection. */
function request(connection: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ createConnection: () => connection, path: "/", headers: { connection: "close" } }, (response) => {
      let body = "";
      response.on("data", (bytes) => (body += bytes));
      response.once("end", () => resolve(body));
    }).once("error", reject);
  });
}

/** Serves HTTP on a listening socket for as long as the body runs. */
async function serving(listener: OwnedFd, body: () => Promise<void>): Promise<void> {
  const server = createServer((_, response) => response.end("Node"));
  server.listen({ fd: listener.release() });
  await once(server, "listening");
  try {
    await body();
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

test(
  "new-process: takes the sockets of a running HAProxy, and answers requests on them after its end",
  needs,
  async () => {
    const folder = temporaryFolder();
    const stats = join(folder, "stats");
    const paths = Array.from({ length: MANY - 2 }, (_, i) => join(folder, `listener-${i}`));
    // Of the loopback network and below the ports that are given out: nobody else has it.
    const tcp = {
      address: `127.${randomInt(1, 255)}.${randomInt(1, 255)}.${randomInt(1, 255)}`,
      port: randomInt(20_000, 30_000),
    };
    await using old = haproxy([`${tcp.address}:${tcp.port}`, ...paths.map((path) => `unix@${path}`)], stats);
    using socket = await old.until(() => UnixStream.connect(stats));
    const messages = await takeListeners(socket);
    const all = messages.flat();
    try {
      assert.equal(
        messages.map((message) => message.length),
        [MOST_PER_MESSAGE, MANY - MOST_PER_MESSAGE],
      );
      const byName = new Map<string, OwnedFd>();
      for (const { fd, namespace, interface: device } of all) {
        const { listening, type, address } = fd.describe().socket!;
        assert.equal([listening, type, namespace, device], [true, "stream", "", ""]);
        // HAProxy binds another name and renames it.
        byName.set(typeof address === "string" ? address.replace(/\.\d+\.tmp$/, "") : JSON.stringify(address), fd);
      }
      assert.equal([...byName.keys()].sort(), [JSON.stringify(tcp), stats, ...paths].sort());

      assert.is(await request(connect(tcp.port, tcp.address)), "HAProxy");
      await old.kill();
      await serving(byName.get(JSON.stringify(tcp))!, async () => {
        assert.is(await request(connect(tcp.port, tcp.address)), "Node");
      });
      await serving(byName.get(paths[0]!)!, async () => {
        assert.is(await request(connect(paths[0]!)), "Node");
      });
      return `${all.length} listening sockets came in ${messages.length} messages; Node answered on two, TCP and Unix`;
    } finally {
      for (const { fd } of all) fd.close();
    }
  },
);

test("old-process: a new HAProxy takes our sockets, and answers the clients that waited for us", needs, async () => {
  const folder = temporaryFolder();
  const listeners = Array.from({ length: MANY }, (_, i) => UnixListener.bind(join(folder, `listener-${i}`)));
  const paths = listeners.map(({ address }) => address!);
  await using ourStats = UnixListener.bind(join(folder, "our-stats"));
  // In the backlogs of our sockets: nobody can answer them but who has those.
  const waiting = [paths[0]!, paths.at(-1)!].map((path) => connect(path));
  try {
    await Promise.all(waiting.map((client) => once(client, "connect")));
    await using next = haproxy(
      paths.map((path) => `unix@${path}`),
      join(folder, "stats"),
      ["-x", ourStats.address!],
    );
    using socket = (await next.meanwhile(ourStats.accept())) as UnixStream;
    const messages = await handListenersOver(socket, listeners);
    for (const listener of listeners) listener.close();
    for (const client of waiting) assert.is(await next.meanwhile(request(client)), "HAProxy");
    return `it took ${listeners.length} in ${messages} messages and answered what had been waiting in their backlogs`;
  } finally {
    for (const client of waiting) client.on("error", () => {}).destroy();
    for (const listener of listeners) listener.close();
  }
});

test.run();
