/**
 * A server with two sockets: it answers 64 bytes to each 64 bytes on one, and takes what comes on the other. Arguments: the
 * path of the first; that of the second; what comes there: `frames`, `messages`, `connections` or `none`; `ours` or `net` (net.Socket,
 * with the frames cut in JavaScript). Answers the question "ready", and "taken": how many have come.
 */

import { createServer, type Socket } from "node:net";
import { FdChannel, UnixListener, type UnixStream } from "unix-ancillary";
import { Frames } from "./framing.ts";
import { serve } from "./serve.ts";

const [victim, flood, kind, whose] = process.argv.slice(2) as [string, string, string, string];
const data = Buffer.alloc(64);
let taken = 0;

async function each(path: string, take: (stream: UnixStream) => unknown): Promise<void> {
  for await (const stream of UnixListener.bind(path)) take(stream);
}

async function answer(stream: UnixStream): Promise<void> {
  for await (const message of stream.messages(0)) {
    if (message.data.length > 0) await stream.sendFds(data);
  }
}

async function takeMessages(stream: UnixStream): Promise<void> {
  for await (const message of stream.messages(0, { bufferSize: data.length })) if (message.data.length > 0) taken++;
}

async function takeFrames(stream: UnixStream): Promise<void> {
  try {
    for await (const frame of FdChannel.over(stream)) taken += frame.payload.length + 1;
  } catch (error) {
    // The flood is killed in the middle of a frame.
    if ((error as { code?: string }).code !== "ERR_CHANNEL_UNEXPECTED_EOF") throw error;
  }
}

/** A message of UnixStream is a receive of as many bytes; here it is a chunk. */
const netTakes: Readonly<Record<string, (socket: Socket) => void>> = {
  frames(socket) {
    const frames = new Frames(() => void taken++);
    socket.on("data", (bytes) => frames.push(bytes));
  },
  messages(socket) {
    socket.on("data", (bytes) => {
      taken += bytes.length / data.length;
    });
  },
};

function close(connection: { close(): void } | { destroy(): unknown }): void {
  taken++;
  if ("close" in connection) connection.close();
  else connection.destroy();
}

/** The peers go away when they are killed. */
const quietly = (take: (socket: Socket) => void) => (socket: Socket) => take(socket.on("error", () => {}));

if (whose === "ours") {
  each(victim, answer);
  each(flood, { frames: takeFrames, messages: takeMessages, connections: close }[kind] ?? (() => {}));
} else {
  createServer(quietly((socket) => socket.on("data", () => socket.write(data)))).listen(victim);
  createServer(quietly(netTakes[kind] ?? close)).listen(flood);
}
await serve(() => {}, { ready: async () => 1, taken: async () => taken });
process.exit();
