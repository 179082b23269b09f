/** The program that every consumer runs: it passes a file from one socket to another, and returns what the receiver reads from it. */

import { openSync, readFileSync } from "node:fs";
import { OwnedFd, UnixStream } from "unix-ancillary";

export async function pass(path: string): Promise<string> {
  const [left, right] = UnixStream.pair();
  const file = OwnedFd.fromRaw(openSync(path, "r"));
  await left.sendFds("take this", [file]);
  file.close();
  const { data, fds } = await right.recvFds(1);
  const text = readFileSync(fds[0]!.fd, "utf8");
  for (const owner of [left, right, ...fds]) owner.close();
  return `${data.toString()}: ${text}`;
}
