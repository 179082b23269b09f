/**
 * Round trips of 64 bytes between two sockets of one process, asynchronous: one socket answers each message of the other. Arguments:
 * `named` (UnixDatagram, each message to a path), `connected` (UnixDatagram, connected) or `seqpacket`; descriptors of each message, 0
 * or 1; a folder for the paths.
 */

import { openSync } from "node:fs";
import { join } from "node:path";
import { OwnedFd, UnixDatagram, UnixListener, UnixSeqpacket } from "unix-ancillary";
import { check, serve } from "./serve.ts";

const [kind, , folder] = process.argv.slice(2) as [string, string, string];
const count = Number(process.argv[3]);
const data = Buffer.alloc(64);
const fds = count > 0 ? [OwnedFd.fromRaw(openSync("/dev/null", "r"))] : [];
const [left, right] = ["left", "right"].map((name) => join(folder, `${name}-${process.pid}`)) as [string, string];

async function named(): Promise<() => Promise<void>> {
  const one = UnixDatagram.bind(left);
  const other = UnixDatagram.bind(right);
  const answer = async () => {
    for (;;) {
      const message = await other.recvFdsFrom(count);
      message[Symbol.dispose]();
      await other.sendFdsTo(data, fds, message.address!);
    }
  };
  answer();
  return async () => {
    await one.sendFdsTo(data, fds, right);
    const message = await one.recvFdsFrom(count);
    check(message.fds.length === count && message.data.length === data.length, "one message");
    message[Symbol.dispose]();
  };
}

async function connected(pair: readonly [UnixDatagram | UnixSeqpacket, UnixDatagram | UnixSeqpacket]) {
  const [one, other] = pair;
  const answer = async () => {
    for await (const message of other.messages(count)) {
      message[Symbol.dispose]();
      await other.sendFds(data, fds);
    }
  };
  answer();
  return async () => {
    await one.sendFds(data, fds);
    const message = await one.recvFds(count);
    check(message.fds.length === count && message.data.length === data.length, "one message");
    message[Symbol.dispose]();
  };
}

async function datagramPair(): Promise<[UnixDatagram, UnixDatagram]> {
  const pair: [UnixDatagram, UnixDatagram] = [UnixDatagram.bind(left), UnixDatagram.bind(right)];
  pair[0].connect(right);
  pair[1].connect(left);
  return pair;
}

async function seqpacketPair(): Promise<[UnixSeqpacket, UnixSeqpacket]> {
  const listener = UnixListener.bind(left, { type: "seqpacket" });
  const pair = await Promise.all([UnixSeqpacket.connect(left), listener.accept()]);
  listener.close();
  return pair;
}

const round =
  kind === "named"
    ? await named()
    : await connected(kind === "connected" ? await datagramPair() : await seqpacketPair());
await serve(async (rounds) => {
  for (let i = 0; i < rounds; i++) await round();
});
process.exit();
