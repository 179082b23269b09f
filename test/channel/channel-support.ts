/** Shared by the tests of channels. */

import { FdChannel, type Frame, UnixStream } from "unix-ancillary";
import * as assert from "uvu/assert";
import { closeSync, openSync } from "../descriptors.ts";
import { fileWith } from "../support.ts";

/** Runs `body` with an open descriptor, and closes it afterwards. */
export function withFile(body: (fd: number) => unknown): Promise<void> {
  const fd = openSync(fileWith("in a frame"), "r");
  return Promise.resolve()
    .then(() => body(fd))
    .then(
      () => closeSync(fd),
      (error) => {
        closeSync(fd);
        throw error;
      },
    );
}

/** The body of a test that needs two connected channels. */
export function withChannels(
  body: (a: FdChannel, b: FdChannel) => unknown,
  options?: Parameters<typeof FdChannel.pair>[0],
): () => Promise<void> {
  return async () => {
    const [a, b] = FdChannel.pair(options);
    try {
      await body(a, b);
    } finally {
      a.close();
      b.close();
    }
  };
}

/** The body of a test that needs a channel whose peer writes raw bytes. */
export function withRawPeer(
  body: (peer: UnixStream, channel: FdChannel) => unknown,
  options?: Parameters<typeof FdChannel.over>[1],
): () => Promise<void> {
  return async () => {
    const [peer, socket] = UnixStream.pair();
    const channel = FdChannel.over(socket, options);
    try {
      await body(peer, channel);
    } finally {
      peer.close();
      channel.close();
    }
  };
}

/** The header of a frame, written byte by byte. */
export function header({ magic = "UANC", version = 1, flags = 0, fds = 0, payload = 0, id = 1n } = {}): Buffer {
  const bytes = Buffer.alloc(20);
  bytes.write(magic, 0, "latin1");
  bytes[4] = version;
  bytes[5] = flags;
  bytes.writeUInt16BE(fds, 6);
  bytes.writeUInt32BE(payload, 8);
  bytes.writeBigUInt64BE(id, 12);
  return bytes;
}

/** The next frame, which must exist. */
export async function frameOf(channel: FdChannel): Promise<Frame> {
  const frame = await channel.recv();
  assert.ok(frame);
  return frame;
}
