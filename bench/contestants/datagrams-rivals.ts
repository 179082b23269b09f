/**
 * {@link file://./datagrams.ts} with the packages that are installed for this, which carry no descriptors. Arguments: `node-unix-socket`
 * or `unix-dgram`; `named`, `connected` or `seqpacket`; a folder for the paths.
 */

import type { EventEmitter } from "node:events";
import { createRequire } from "node:module";
import { join } from "node:path";
import { check, serve } from "./serve.ts";

/** The parts of the packages used here: one of them has no types. */
interface Dgram extends EventEmitter {
  bind(path: string): void;
  connect(path: string): void;
  send(data: Buffer): void;
  send(data: Buffer, offset: number, length: number, path: string): void;
}
interface DgramSocket extends EventEmitter {
  bind(path: string): void;
  sendTo(data: Buffer, offset: number, length: number, path: string): void;
}
interface SeqpacketSocket extends EventEmitter {
  connect(path: string): void;
  write(data: Buffer): void;
}
interface SeqpacketServer extends EventEmitter {
  listen(path: string): void;
}
type NodeUnixSocket = Record<"DgramSocket", new () => DgramSocket> &
  Record<"SeqpacketSocket", new () => SeqpacketSocket> &
  Record<"SeqpacketServer", new () => SeqpacketServer>;

const [name, kind, folder] = process.argv.slice(2) as [string, string, string];
const require = createRequire(new URL("../../../bench/rivals/", import.meta.url));
const data = Buffer.alloc(64);
const [left, right] = ["left", "right"].map((end) => join(folder, `${end}-${process.pid}`)) as [string, string];

/** The first message of a round; what is to be done with its answer. */
let begin: () => void;
let came: () => void = () => {};
const answered = (bytes: Buffer) => {
  check(bytes.length === data.length, "one message");
  came();
};

if (name === "unix-dgram") {
  const { createSocket } = require("unix-dgram") as { createSocket(type: string, got: (bytes: Buffer) => void): Dgram };
  const one = createSocket("unix_dgram", answered);
  const send = (socket: Dgram, path: string) =>
    kind === "connected" ? socket.send(data) : socket.send(data, 0, data.length, path);
  const other = createSocket("unix_dgram", () => send(other, left));
  one.bind(left);
  other.bind(right);
  if (kind === "connected") {
    one.connect(right);
    other.connect(left);
  }
  begin = () => send(one, right);
} else if (kind === "named") {
  const { DgramSocket } = require("node-unix-socket") as NodeUnixSocket;
  const one = new DgramSocket();
  const other = new DgramSocket();
  one.bind(left);
  other.bind(right);
  one.on("data", answered);
  other.on("data", (_, path: string) => other.sendTo(data, 0, data.length, path));
  begin = () => one.sendTo(data, 0, data.length, right);
} else {
  const { SeqpacketServer, SeqpacketSocket } = require("node-unix-socket") as NodeUnixSocket;
  const server = new SeqpacketServer();
  server.on("connection", (socket: SeqpacketSocket) => socket.on("data", () => socket.write(data)));
  server.listen(left);
  const one = new SeqpacketSocket();
  one.on("data", answered);
  const connected = new Promise((resolve) => one.once("connect", resolve));
  one.connect(left);
  await connected;
  begin = () => one.write(data);
}

await serve(
  (rounds) =>
    new Promise<void>((resolve) => {
      let left = rounds;
      came = () => {
        if (--left > 0) begin();
        else resolve();
      };
      begin();
    }),
);
process.exit();
