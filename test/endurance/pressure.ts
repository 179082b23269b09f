/** A full descriptor table, repeatedly: every operation reports it, nothing is lost or leaked, and everything works afterwards. */

import { closeSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { UnixListener, UnixStream } from "unix-ancillary";
import { closedAgain, codeOf, errorOf, openFds, run, socketPath } from "../support.ts";
import { amount, check, role } from "./measure.ts";

const ROUNDS = amount(2000);

if (role === undefined) {
  // In a shell: Node cannot lower the limit itself.
  const args = [fileURLToPath(import.meta.url), "--role=pressed", ...process.argv.slice(2)];
  const { code, stdout, stderr } = await run(
    "sh",
    ["-c", 'ulimit -n 64 && exec "$@"', "sh", process.execPath, ...args],
    {
      timeout: 200_000,
    },
  );
  if (code !== 0) throw new Error(stderr);
  console.log(stdout.trim());
  process.exit(0);
}

const [a, b] = UnixStream.pair();
const path = socketPath();
const listener = UnixListener.bind(path);
const file = openSync("/dev/null", "r");
// libuv opens some descriptors at first use and keeps them: do that before counting.
await Promise.all([b.recvFds(0), a.sendFds("x")]);
const before = openFds().size;
const filled: number[] = [];
const fill = (free: number): void => {
  try {
    for (;;) filled.push(openSync("/dev/null", "r"));
  } catch {
    // The table is full.
  }
  for (let i = 0; i < free; i++) closeSync(filled.pop()!);
};
const empty = (): void => {
  for (const fd of filled.splice(0)) closeSync(fd);
};

let refused = 0;
for (let round = 0; round < ROUNDS; round++) {
  const free = round % 4;
  const open = openFds().size;
  await a.sendFds(`round ${round}`, [file, file, file, file]);
  fill(free);
  const error = (await errorOf(round % 2 === 0 ? b.recvFds(4) : () => b.recvFdsSync(4))) as Error & {
    code?: string;
    reason?: string;
    data?: Buffer;
  };
  check(error.code === "ERR_ANCILLARY_TRUNCATED", `round ${round}: ${error.stack}`);
  check(error.reason === "descriptor-limit", `round ${round}: reason ${error.reason}`);
  check(error.data?.toString() === `round ${round}`, `round ${round}: its bytes are "${error.data}"`);
  if (free === 0) {
    check((await codeOf(UnixStream.connect(path))) === "EMFILE", "connect");
    check((await codeOf(() => UnixStream.pair())) === "EMFILE", "pair");
    refused += 2;
  }
  empty();
  closedAgain(open);
  const client = await UnixStream.connect(path);
  fill(0);
  check((await codeOf(listener.accept())) === "EMFILE", "accept");
  empty();
  const server = await listener.accept();
  await client.sendFds("y", [file]);
  const message = await server.recvFds(1);
  check(message.fds.length === 1, "a descriptor after the pressure");
  message[Symbol.dispose]();
  client.close();
  server.close();
  refused += 2;
}
check(openFds().size === before, `${openFds().size} descriptors are open, there were ${before}`);
console.log(
  `${ROUNDS.toLocaleString("en")} rounds, ${refused.toLocaleString("en")} refusals, each with the right error`,
);
process.exit(0);
