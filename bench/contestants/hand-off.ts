/**
 * A process hands connections to another, which destroys them, at most 32 at a time. Argument: `ours`; `ipc`: with `child_process.send`;
 * `none`: nobody has them, and this process makes and destroys both net.Sockets of each connection. Each is a net.Socket of its own over a
 * duplicate of one TCP connection.
 *
 * Unlike other contestants, it answers with nanoseconds of processor time, of both processes: the processes wake each other, and on one
 * processor the time of the clock is the same sum, and that of everything else that runs there.
 */

import { fork, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, Socket } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { FdChannel, OwnedFd, UnixStream } from "unix-ancillary";
import { handOff, takeConnections } from "unix-ancillary/handoff";
import { args, isPeer, options } from "./peer.ts";

const AT_ONCE = 32;
const [way] = args;
const self = fileURLToPath(import.meta.url);

/** Nanoseconds that the threads of a process have run (Linux). */
function processorTime(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  return threads.reduce((sum, id) => {
    const [ran] = readFileSync(`/proc/${pid}/task/${id}/schedstat`, "utf8").split(" ");
    return sum + Number(ran);
  }, 0);
}

if (isPeer) {
  if (way === "ours") {
    const channel = FdChannel.over(UnixStream.from(OwnedFd.fromRaw(3)));
    await takeConnections(channel, (socket) => void socket.destroy());
    process.exit();
  }
  process.on("message", (message, socket) => {
    (socket as Socket).destroy();
    // As the acknowledgement of ours, for the program: Node's own comes before the message.
    process.send!(message as string);
  });
  process.on("disconnect", () => process.exit());
} else {
  const server = createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [accepted] = (await once(server, "connection")) as [Socket];
  const fresh = (): Socket => new Socket({ fd: OwnedFd.from(accepted).release(), readable: true, writable: true });

  let one: () => Promise<unknown>;
  let stop = (): void => {};
  const pids = [process.pid];
  if (way === "ours") {
    const [ours, theirs] = UnixStream.pair();
    const child = spawn(process.execPath, [self, ...args], {
      ...options,
      stdio: ["ignore", "inherit", "inherit", theirs.fd],
    });
    pids.push(child.pid!);
    theirs.close();
    const channel = FdChannel.over(ours);
    one = () => handOff(channel, fresh());
    stop = () => channel.close();
  } else if (way === "ipc") {
    const child = fork(self, args, options);
    pids.push(child.pid!);
    const waiting: (() => void)[] = [];
    child.on("message", () => waiting.shift()!());
    one = () =>
      new Promise<void>((resolve) => {
        waiting.push(resolve);
        child.send("c", fresh());
      });
    stop = () => child.disconnect();
  } else {
    one = async () => {
      for (let end = 0; end < 2; end++) fresh().destroy();
      // The handles are closed in another turn.
      await new Promise(setImmediate);
    };
  }
  for await (const line of createInterface({ input: process.stdin })) {
    const rounds = Number(line);
    let left = rounds;
    const worker = async (): Promise<void> => {
      while (left-- > 0) await one();
    };
    const ran = () => pids.reduce((sum, pid) => sum + processorTime(pid), 0);
    const before = ran();
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    process.stdout.write(`${(ran() - before) / rounds}\n`);
  }
  stop();
  client.destroy();
  process.exit();
}
