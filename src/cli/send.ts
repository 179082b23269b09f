/** `send`: opens files and sends their descriptors to another process. */

import { type OwnedFd, SocketAncillary, sendmsg, UnixDatagram } from "../index.ts";
import { hostPlatform } from "../system/platform.ts";
import { type Address, addressText, OPEN, openFiles, parseAddress } from "./address.ts";
import type { Arguments, Command } from "./arguments.ts";
import { EXIT, Failure, usage } from "./failure.ts";
import { count, describe, described, json, keepOutOf, note, plain, print } from "./output.ts";
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
import { type Exit, interruptible, within } from "./waiting.ts";

export const send: Command = {
  name: "send",
  synopsis: ["send [options] PATH|@NAME|fd:N FILE...", "send [options] PATH|@NAME|fd:N --data TEXT"],
  summary: "open files and pass their descriptors to another process",
  about: `Opens each FILE, connects to the Unix socket at PATH, and passes all descriptors in one message. The receiver gets the
open files: it can read a file that it could not open itself. FILE can also be fd:N, a descriptor that the shell opened
(a socket, a pipe, any redirection), or "-", standard input. With fd:N for PATH it sends on a socket that the shell opened; if
that is standard output too, the report goes to standard error. @NAME is an abstract name (Linux),
with escapes as in C: @name\\0\\0 ends with two NULs.`,
  options: {
    data: {
      value: "TEXT",
      help: "bytes to send with the descriptors; default: one NUL, as descriptors need at least one byte",
    },
    open: {
      value: "MODE",
      choices: Object.keys(OPEN),
      help: "how to open FILE: read (default), read-write, write (creates or truncates), append (creates)",
    },
    wait: { help: "waits until a receiver listens at PATH, at most for --timeout" },
    timeout: { value: "SECONDS", help: "waits at most this long, then exits with 4; default: no limit" },
    credentials: {
      help: "sends the credentials of this process (SCM_CREDENTIALS), verified by the kernel; the receiver must ask for them",
    },
    listen: {
      help: "binds PATH and waits for one receiver (recv --connect), instead of connecting",
    },
    mode: MODE,
    ...TYPES,
  },
  words: "files",
  examples: [
    ["unix-ancillary send /tmp/demo.sock notes.txt", 'passes a file to a running "unix-ancillary recv /tmp/demo.sock"'],
    [
      "unix-ancillary send /tmp/demo.sock fd:5 5>>log.txt --data 'write here'",
      "passes a file that the shell opened for appending, with a text",
    ],
    ["echo hello | unix-ancillary send /tmp/demo.sock -", "passes the pipe; the receiver reads hello from it"],
    [
      "unix-ancillary send -q fd:1 fd:5 5<>/dev/tcp/example.org/22",
      "bash: passes a connection to the program whose socket is standard output, as a ProxyCommand of ssh with ProxyUseFdpass does",
    ],
    [
      "unix-ancillary send --wait --timeout 5 @demo /etc/hostname",
      "waits up to five seconds for a receiver at an abstract name",
    ],
  ],
  run: runSend,
};

async function runSend(args: Arguments): Promise<Exit> {
  const [word, ...files] = args.words;
  const address = parseAddress(word);
  if ("fd" in address) keepOutOf(address.fd);
  const type = typeOf(args);
  const mode = modeOf(args);
  const timeout = args.milliseconds("timeout");
  if (files.length === 0 && !args.has("data"))
    throw usage("expected at least one FILE to pass, or --data TEXT", `example: unix-ancillary send ${word} FILE`);
  const most = hostPlatform().abi.maxFdsPerMessage;
  if (files.length > most) throw usage(`expected at most ${most} files, the limit of one message, got ${files.length}`);
  args.exclude("listen", "wait", "with --listen the receiver connects");
  args.exclude("listen", "datagram", "datagram sockets have no connections");
  if ("fd" in address && (args.has("listen") || args.has("wait")))
    throw usage(`--listen and --wait need a PATH, got ${addressText(address)}`);
  if (mode !== null && !args.has("listen"))
    throw usage("--mode needs --listen: it sets the mode of the file that --listen creates");
  if ("fd" in address && files.some((file) => file === `fd:${address.fd}` || (file === "-" && address.fd === 0)))
    throw usage(`fd:${address.fd} is the socket to send on, and cannot be sent on itself`);
  // Opening a FIFO blocks until its other end is opened. A signal must end it: open before signals are caught.
  const fds = openFiles(files, args.text("open") ?? "read");
  try {
    const descriptions = fds.map(describe);
    const sender = new Sender(fds, Buffer.from(args.text("data") ?? "\0"), args.has("credentials"));
    const failure = args.has("listen") || args.has("wait") ? "no receiver" : "the message could not be sent";
    await interruptible((interrupt) =>
      within(timeout, failure, interrupt, (signal) => sender.run(address, type, mode, args, signal)),
    );
    const bytes = sender.data.length;
    if (args.has("json")) json({ event: "sent", to: addressText(address), fds: descriptions, bytes });
    else {
      print(`sent ${count(fds.length, "descriptor")} and ${count(bytes, "byte")} to ${plain(addressText(address))}`);
      for (const [i, description] of descriptions.entries()) print(`  [${i}] ${described(description)}`);
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
    address: Address,
    type: SocketType | null,
    mode: number | null,
    args: Arguments,
    signal: AbortSignal,
  ): Promise<void> {
    if ("path" in address && type === "datagram") return this.#sendTo(address.path, args.has("wait"), signal);
    if ("path" in address && !args.has("listen")) {
      const socket = await connect(
        address.path,
        type === "seqpacket" ? type : "stream",
        signal,
        args.has("wait"),
        "recv",
      );
      return this.#sendOn(socket, signal);
    }
    const opened = "fd" in address ? inheritedSocket(address.fd, type) : bind(address.path, type ?? "stream", mode);
    if (opened.kind === "connected") return this.#sendOn(opened.socket, signal);
    if (opened.kind === "datagram") return this.#sendConnected(opened.socket, signal);
    let socket: Connected;
    try {
      if (args.has("json")) json({ event: "listening", address: addressText(address) });
      else note(`listening on ${plain(addressText(address))}`);
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
      throw explained(error, addressText({ path }), "recv --datagram");
    } finally {
      socket.close();
    }
  }

  /** One `sendmsg` with credentials, repeated while the socket is full: the queued sends of the library take descriptors only. */
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
    `${error.message}: the message is longer than a datagram may be`,
    "send less data, or leave out --datagram",
  );
}
