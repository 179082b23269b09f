/** `send`: files, as descriptors, to another process. */

import { type OwnedFd, SocketAncillary, sendmsg, UnixDatagram } from "../index.ts";
import { hostPlatform } from "../system/platform.ts";
import { openFiles, type Place, placeName, placeOf } from "./address.ts";
import type { Command, Given } from "./arguments.ts";
import { EXIT, Failure, usage } from "./failure.ts";
import { count, describe, described, json, plain, print, say } from "./output.ts";
import {
  bind,
  type Connected,
  connect,
  explained,
  inheritedSocket,
  MODE,
  modeOf,
  retried,
  type SocketType,
  TYPES,
  typeOf,
} from "./sockets.ts";
import { interruptible, type Outcome, within } from "./waiting.ts";

export const send: Command = {
  name: "send",
  synopsis: ["send [options] PATH|@NAME|fd:N FILE...", "send [options] PATH|@NAME|fd:N --data TEXT"],
  summary: "open files and pass their descriptors to another process",
  about: `Opens each FILE, connects to the Unix socket at PATH, and passes the descriptors, all in one message. The receiver gets
the files as you opened them: it can read what it could not open itself. FILE may be fd:N, a descriptor that the shell
opened (a socket, a pipe, a file with whatever redirection), and "-", standard input. @NAME is an abstract name (Linux).`,
  options: {
    data: {
      value: "TEXT",
      help: "bytes to send with them; a single NUL unless given, as descriptors travel with bytes",
    },
    open: { value: "HOW", help: "read (unless given), read-write, write (made or emptied), append (made)" },
    wait: { help: "waits until somebody receives at PATH, as long as --timeout says" },
    timeout: { value: "SECONDS", help: "how long to wait, with exit code 4; for ever unless given" },
    credentials: {
      help: "says who sends (SCM_CREDENTIALS); the kernel vouches for it. The receiver has to ask for it",
    },
    listen: {
      help: "binds PATH and waits for one receiver, instead of connecting to it: the other end is recv --connect",
    },
    mode: MODE,
    ...TYPES,
  },
  examples: [
    [
      "unix-ancillary send /tmp/demo.sock notes.txt",
      'passes a file to whoever runs "unix-ancillary recv /tmp/demo.sock"',
    ],
    [
      "unix-ancillary send /tmp/demo.sock fd:5 5>>log.txt --data 'write here'",
      "passes a file that the shell opened for appending, and a word",
    ],
    ["echo hello | unix-ancillary send /tmp/demo.sock -", "passes the pipe: the receiver reads hello from it"],
    [
      "unix-ancillary send --wait --timeout 5 @demo /etc/hostname",
      "waits five seconds for a receiver at an abstract name",
    ],
  ],
  run: runSend,
};

async function runSend(given: Given): Promise<Outcome> {
  const [word, ...files] = given.words;
  const place = placeOf(word);
  const type = typeOf(given);
  const mode = modeOf(given);
  const timeout = given.milliseconds("timeout");
  if (files.length === 0 && !given.has("data"))
    throw usage("expected at least one FILE to pass, or --data TEXT", `as in: unix-ancillary send ${word} FILE`);
  const most = hostPlatform().abi.maxFdsPerMessage;
  if (files.length > most)
    throw usage(`expected at most ${most} files, as many as one message has, got ${files.length}`);
  given.exclude("listen", "wait", "with --listen it is the receiver who comes");
  given.exclude("listen", "datagram", "datagrams have no connection");
  if ("fd" in place && (given.has("listen") || given.has("wait")))
    throw usage(`--listen and --wait need a PATH, got ${placeName(place)}`);
  if (mode !== null && !given.has("listen")) throw usage("--mode is for the file that --listen makes");
  if ("fd" in place && files.some((file) => file === `fd:${place.fd}` || (file === "-" && place.fd === 0)))
    throw usage(`fd:${place.fd} is the socket to send on: it cannot be passed over itself`);
  // Opening a FIFO waits for its other end, and has to be ended by a signal as ever: before any is caught.
  const fds = openFiles(files, given.text("open") ?? "read");
  try {
    const what = fds.map(describe);
    const sender = new Sender(fds, Buffer.from(given.text("data") ?? "\0"), given.has("credentials"));
    const waited = given.has("listen") || given.has("wait") ? "nobody came to receive" : "it could not be sent";
    await interruptible((interrupt) =>
      within(timeout, waited, interrupt, (signal) => sender.run(place, type, mode, given, signal)),
    );
    const bytes = sender.data.length;
    if (given.has("json")) json({ event: "sent", to: placeName(place), fds: what, bytes });
    else {
      print(`sent ${count(fds.length, "descriptor")} and ${count(bytes, "byte")} to ${plain(placeName(place))}`);
      for (const [i, description] of what.entries()) print(`  [${i}] ${described(description)}`);
    }
    return EXIT.DONE;
  } finally {
    for (const fd of fds) fd.close();
  }
}

/** Sends one message. */
class Sender {
  readonly data: Buffer;
  readonly #fds: readonly OwnedFd[];
  readonly #credentials: boolean;

  constructor(fds: readonly OwnedFd[], data: Buffer, credentials: boolean) {
    this.#fds = fds;
    this.data = data;
    this.#credentials = credentials;
  }

  async run(
    place: Place,
    type: SocketType | null,
    mode: number | null,
    given: Given,
    signal: AbortSignal,
  ): Promise<void> {
    if ("path" in place && type === "datagram") return this.#sendTo(place.path, given.has("wait"), signal);
    if ("path" in place && !given.has("listen")) {
      const socket = await connect(place.path, type === "seqpacket" ? type : "stream", signal, given.has("wait"));
      return this.#sendOn(socket, signal);
    }
    const opened = "fd" in place ? inheritedSocket(place.fd, type) : bind(place.path, type ?? "stream", mode);
    if (opened.kind === "connected") return this.#sendOn(opened.socket, signal);
    if (opened.kind === "datagram") return this.#sendConnected(opened.socket, signal);
    let socket: Connected;
    try {
      if (given.has("json")) json({ event: "listening", address: placeName(place) });
      else say(`listening on ${plain(placeName(place))}`);
      socket = await opened.socket.accept({ signal });
    } finally {
      opened.socket.close();
    }
    return this.#sendOn(socket, signal);
  }

  async #sendOn(socket: Connected, signal: AbortSignal): Promise<void> {
    try {
      let sent = 0;
      if (this.#credentials) {
        sent = await this.#withCredentials(socket, signal);
        if (sent < this.data.length) await socket.sendFdsAll(this.data.subarray(sent), [], { signal });
      } else await socket.sendFdsAll(this.data, this.#fds, { signal });
    } finally {
      socket.close();
    }
  }

  async #sendConnected(socket: UnixDatagram, signal: AbortSignal): Promise<void> {
    try {
      if (this.#credentials) await this.#withCredentials(socket, signal);
      else await socket.sendFds(this.data, this.#fds, { signal });
    } catch (error) {
      if ((error as { code?: string }).code === "EMSGSIZE") throw tooLong(error as Error);
      throw error;
    } finally {
      socket.close();
    }
  }

  async #sendTo(path: string, wait: boolean, signal: AbortSignal): Promise<void> {
    const socket = UnixDatagram.unbound();
    try {
      const attempt = async () => {
        if (this.#credentials) await this.#withCredentials(socket, signal, path);
        else await socket.sendFdsTo(this.data, this.#fds, path, { signal });
      };
      await (wait ? retried(attempt, signal) : attempt());
    } catch (error) {
      if ((error as { code?: string }).code === "EMSGSIZE") throw tooLong(error as Error);
      if (signal.aborted) throw error;
      throw explained(error, placeName({ path }));
    } finally {
      socket.close();
    }
  }

  /** The library's queues send descriptors alone: this is one `sendmsg`, tried again while there is no room. */
  async #withCredentials(socket: Connected | UnixDatagram, signal: AbortSignal, address?: string): Promise<number> {
    const room = SocketAncillary.bufferSizeForRights(this.#fds.length) + SocketAncillary.bufferSizeForCredentials();
    const ancillary = new SocketAncillary(room);
    if (this.#fds.length > 0) ancillary.addFds(this.#fds);
    ancillary.addCredentials({ pid: process.pid, uid: process.geteuid!(), gid: process.getegid!() });
    for (;;) {
      try {
        return sendmsg(socket, this.data, ancillary, { address });
      } catch (error) {
        if ((error as { code?: string }).code !== "EAGAIN") throw error;
      }
      signal.throwIfAborted();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

function tooLong(error: Error): Failure {
  return new Failure(
    EXIT.FAILED,
    "EMSGSIZE",
    `${error.message}: longer than a datagram may be here`,
    "send less, or use a stream",
  );
}
