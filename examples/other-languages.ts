/**
 * Servers in other languages: a front process in Node reads the first bytes of each connection, and hands it to the server that they
 * ask for, in Go, Rust or Python, with the bytes.
 *
 * `node build/examples/other-languages.js`. The servers use the standard libraries of their languages alone; each is in `servers/`, and is less than a
 * page. What they read is a record of a SOCK_SEQPACKET socket: the bytes, and one descriptor beside them.
 */

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { get } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { UnixSeqpacket } from "unix-ancillary";

const REQUESTS = 60;
const sources = fileURLToPath(new URL("../../examples/servers/", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "unix-ancillary-servers-"));
process.on("exit", () => rmSync(folder, { recursive: true }));

/** How each server is built, and the command that runs it. */
const SERVERS: Record<string, { needs: string; build: readonly string[]; command: readonly [string, ...string[]] }> = {
  Go: {
    needs: "Debian's golang-go",
    build: ["go", "build", "-o", join(folder, "go"), join(sources, "server.go")],
    command: [join(folder, "go")],
  },
  Rust: {
    needs: "rustc",
    build: ["rustc", "-O", "-o", join(folder, "rust"), join(sources, "server.rs")],
    command: [join(folder, "rust")],
  },
  Python: {
    needs: "python3, 3.9 or later",
    build: ["python3", "-c", "import socket; socket.send_fds"],
    command: ["python3", join(sources, "server.py")],
  },
};

const servers = new Map<string, { socket: UnixSeqpacket; exit: Promise<unknown> }>();
let missing = false;
for (const [name, { needs, build, command }] of Object.entries(SERVERS)) {
  const [compiler, ...args] = build as [string, ...string[]];
  try {
    execFileSync(compiler, args, { stdio: "inherit", env: { ...process.env, GOCACHE: join(folder, "cache") } });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    console.log(`SKIPPED: the server in ${name} needs ${needs}`);
    missing = true;
    continue;
  }
  const [socket, theirs] = UnixSeqpacket.pair();
  const [program, ...rest] = command;
  const child = spawn(program, rest, { stdio: ["ignore", "inherit", "inherit", theirs.fd] });
  theirs.close();
  servers.set(name, { socket, exit: once(child, "exit") });
}

const front = createServer((connection) => {
  connection.once("data", (head) => {
    const [, name] = /^GET \/(\w+)/.exec(head.toString("latin1")) ?? [];
    // In the same turn, before Node reads more.
    servers.get(name!)?.socket.sendFdsSync(head, [connection]);
    connection.destroy();
  });
});
await once(front.listen(0, "127.0.0.1"), "listening");
const { port } = front.address() as AddressInfo;
const descriptors = readdirSync("/proc/self/fd").length;

const names = [...servers.keys()];
await Promise.all(
  Array.from({ length: REQUESTS }, async (_, i) => {
    const name = names[i % names.length]!;
    const path = `/${name}/${i}`;
    const [response] = await once(get({ host: "127.0.0.1", port, path, agent: false }), "response");
    let body = "";
    for await (const chunk of response) body += chunk;
    assert.equal(body, `${name}: ${path}`);
  }),
);
front.close();
await once(front, "close");
// Node closes the clients' sockets in later turns.
while (readdirSync("/proc/self/fd").length >= descriptors) await new Promise((resolve) => setTimeout(resolve, 5));
for (const { socket, exit } of servers.values()) {
  socket.close();
  assert.deepEqual(await exit, [0, null]);
}
console.log(`held: ${REQUESTS} connections, answered by servers in ${names.join(", ")}`);
if (missing) process.exit(77);
