/** `recv` and `listen`: receive descriptors, and print them or give them to a command. */

import { setTimeout as sleep } from "node:timers/promises";
import { closeAll } from "../fd/owned-fd.ts";
import { type Credentials, type OwnedFd, type ReceivedFds, type UnixDatagram, UnixStream } from "../index.ts";
import { hostPlatform } from "../system/platform.ts";
import { type Address, addressText, parseAddress } from "./address.ts";
import type { Arguments, Command, Option } from "./arguments.ts";
import { EXIT, Failure, failureOf, usage } from "./failure.ts";
import {
  count,
  describe,
  described,
  json,
  keepOutOf,
  note,
  plain,
  print,
  quoted,
  say,
  shellName,
  textOf,
  visible,
} from "./output.ts";
import { DATA_BYTES, namesOf, Runner } from "./runner.ts";
import {
  bind,
  type Connected,
  connect,
  inheritedSocket,
  type Listener,
  MODE,
  modeOf,
  numbersOf,
  peerOf,
  type SocketType,
  TYPES,
  typeOf,
} from "./sockets.ts";
import { type Exit, Interrupted, interruptible, within } from "./waiting.ts";

/** Bytes of one receive: more than a datagram or record can have under the usual limits of the system. */
const BUFFER_BYTES = 1 << 20;
const STREAM_BUFFER_BYTES = 65536;

/** Connections, and commands, that `listen` serves at a time; further ones wait to be accepted. */
const AT_ONCE = 64;

const OPTIONS: Readonly<Record<string, Option>> = {
  exec: {
    rest: true,
    help: "runs a command, made of all following words, with the descriptors instead of printing them",
  },
  name: {
    value: "NAME",
    several: true,
    help: "with --exec: a name for LISTEN_FDNAMES; one for all descriptors, or one each, in order, also as A:B",
  },
  fd: {
    value: "N",
    several: true,
    help: "with --exec: the number of the first (second, ...) descriptor in the command, 0 for standard input; LISTEN_* are not set",
  },
  count: { value: "N", help: "stops after N descriptors; exits with 3 if there are fewer" },
  "max-fds": {
    value: "N",
    help: "closes and counts descriptors beyond N; default: as many as one message can carry",
  },
  timeout: { value: "SECONDS", help: "waits at most this long, then exits with 4; default: no limit" },
  credentials: { help: "prints the credentials of each message's sender, as verified by the kernel (SO_PASSCRED)" },
  mode: MODE,
  ...TYPES,
};

const ABOUT_EXEC = `With --exec, CMD gets the descriptors as 3, 4, ..., their count in LISTEN_FDS, their names in LISTEN_FDNAMES and its own
pid in LISTEN_PID, as systemd passes sockets to a service. With --fd they get the numbers you choose. CMD has these
descriptors, 0, 1 and 2, and no others. If the received bytes are text, they are in UNIX_ANCILLARY_DATA.`;

export const recv: Command = {
  name: "recv",
  synopsis: ["recv [options] PATH|@NAME|fd:N [--exec CMD...]"],
  summary: "receive descriptors, and print them or give them to a command",
  about: `Binds a Unix socket at PATH, waits for one sender, and receives until the sender has finished, until one datagram has
arrived, or until --count descriptors have arrived. It prints each message and closes its descriptors. @NAME is an
abstract name (Linux), with escapes as in C (@name\\0\\0 ends with two NULs), fd:N a connected or listening socket that the shell opened.

${ABOUT_EXEC}
recv forwards signals to CMD and exits with CMD's exit code.`,
  options: {
    ...OPTIONS,
    connect: { help: "connects to a sender that listens at PATH (send --listen), instead of listening" },
    wait: { help: "with --connect: waits until a sender listens" },
  },
  words: "files",
  examples: [
    [
      "unix-ancillary recv /tmp/demo.sock",
      "waits for a message and prints it; in another terminal: unix-ancillary send /tmp/demo.sock FILE",
    ],
    ["unix-ancillary recv /tmp/demo.sock --fd 0 --exec wc -l", "counts the lines of a file that the sender opened"],
    [
      "unix-ancillary recv /run/web.sock --name http --exec node server.js",
      "starts a server with a socket that a privileged process opened",
    ],
    [
      "unix-ancillary recv @demo --timeout 5 --json",
      "receives at an abstract name, for at most five seconds, and prints JSON",
    ],
  ],
  run: (args) => interruptible((interrupt) => runRecv(args, interrupt)),
};

const { count: COUNT, ...LISTEN_OPTIONS } = OPTIONS;

export const listen: Command = {
  name: "listen",
  synopsis: ["listen [options] PATH|@NAME|fd:N [--exec CMD...]"],
  summary: "receive from every sender, until stopped",
  about: `Binds a Unix socket at PATH and receives from every sender that connects, or every datagram, until ^C or SIGTERM stops
it; then it removes PATH. It reports the error of a sender on stderr, and goes on with the next.

${ABOUT_EXEC}
listen starts one CMD per connection or datagram, at most ${AT_ONCE} at a time, with empty standard input.`,
  options: {
    ...LISTEN_OPTIONS,
    count: COUNT!,
    timeout: { value: "SECONDS", help: "the longest time for one sender; default: no limit" },
  },
  words: "files",
  examples: [
    ["unix-ancillary listen /tmp/demo.sock", "prints the messages of each sender"],
    [
      "unix-ancillary listen --datagram --credentials /tmp/log.sock --json",
      "prints a line of JSON for each datagram, with the credentials of its sender",
    ],
    ["unix-ancillary listen /tmp/in.sock --fd 0 --exec sha256sum", "prints the checksum of every received file"],
  ],
  run: (args) => interruptible((interrupt) => runListen(args, interrupt)),
};

/** The options of both commands, parsed. */
interface Settings {
  readonly address: Address;
  readonly type: SocketType | null;
  readonly mode: number | null;
  readonly count: number | null;
  readonly maxFds: number;
  readonly timeout: number | null;
  readonly credentials: boolean;
  readonly json: boolean;
  readonly least: number;
  readonly runner: Runner | null;
}

function settingsOf(args: Arguments, stdin: boolean): Settings {
  const [word, ...more] = args.words;
  const address = parseAddress(word);
  if ("fd" in address) keepOutOf(address.fd);
  if (more.length > 0)
    throw usage(`expected one PATH, got another argument, "${more[0]}"`, "to run a command: --exec CMD");
  args.exclude("json", "exec", "with --exec the output is that of the command");
  args.exclude("fd", "name", "LISTEN_FDNAMES names descriptors 3, 4, ...");
  for (const name of ["name", "fd"]) if (args.has(name) && !args.has("exec")) throw usage(`--${name} needs --exec CMD`);
  const command = args.all("exec");
  const numbers = numbersOf(args.all("fd"));
  const names = namesOf(args.all("name"));
  const count = args.integer("count", 1, 0x7fffffff);
  const limit = args.integer("max-fds", 0, 0x7fffffff);
  if (count !== null && limit !== null && count > limit)
    throw usage(`--count ${count} can never be reached with --max-fds ${limit}`);
  // With --fd, only descriptors that get a number are accepted.
  const most = numbers.length > 0 ? numbers.length : hostPlatform().abi.maxFdsPerMessage;
  if (numbers.length > 0 && count !== null && count > numbers.length)
    throw usage(`--count ${count} expected as many --fd options, got ${numbers.length}`);
  return {
    address,
    type: typeOf(args),
    mode: modeOf(args),
    count,
    maxFds: limit ?? Math.max(most, count ?? 0),
    timeout: args.milliseconds("timeout"),
    credentials: args.has("credentials"),
    json: args.has("json"),
    least: args.has("exec") ? Math.max(1, numbers.length) : 0,
    runner: args.has("exec")
      ? new Runner({ command, names, numbers, stdin: stdin && !("fd" in address && address.fd === 0) })
      : null,
  };
}

async function runRecv(args: Arguments, interrupt: AbortSignal): Promise<Exit> {
  const settings = settingsOf(args, true);
  const { address } = settings;
  if (args.has("wait") && !args.has("connect")) throw usage("--wait needs --connect: without it recv always waits");
  if (args.has("connect") && ("fd" in address || settings.type === "datagram"))
    throw usage(
      `--connect needs the path of a stream or seqpacket socket, got ${"fd" in address ? addressText(address) : "--datagram"}`,
    );
  if (settings.mode !== null && ("fd" in address || args.has("connect")))
    throw usage("--mode sets the mode of the file that recv creates: it creates none here");
  const receiver = new Receiver(settings, null);
  await within(settings.timeout, "nothing received", interrupt, async (signal) => {
    const opened = args.has("connect")
      ? {
          kind: "connected" as const,
          socket: await connect(
            (address as { path: string }).path,
            connectedType(settings),
            signal,
            args.has("wait"),
            "send --listen",
          ),
        }
      : open(settings);
    const { socket } = opened;
    try {
      if (settings.credentials) socket.setPassCredentials(true);
      if (opened.kind !== "connected") announce(settings);
      if (opened.kind !== "listener") return await receiver.receive(opened.socket, signal);
      // A connection that sends nothing only checked whether a socket listens here. After the first message the listener closes.
      while (receiver.empty)
        await receiver.receive(await opened.socket.accept({ signal }), signal, () => socket.close());
    } finally {
      socket.close();
    }
  });
  return receiver.finish();
}

function connectedType(settings: Settings): "stream" | "seqpacket" {
  return settings.type === "seqpacket" ? "seqpacket" : "stream";
}

function open({ address, type, mode }: Settings) {
  return "fd" in address ? inheritedSocket(address.fd, type) : bind(address.path, type ?? "stream", mode);
}

function announce({ json: asJson, runner, address }: Settings): void {
  if (asJson) json({ event: "listening", address: addressText(address) });
  else
    note(
      `listening on ${plain(addressText(address))}${runner === null ? "" : ", to run a command with the descriptors"}`,
    );
}

async function runListen(args: Arguments, interrupted: AbortSignal): Promise<Exit> {
  const settings = settingsOf(args, false);
  if (settings.mode !== null && "fd" in settings.address)
    throw usage("--mode sets the mode of the file that listen creates: it creates none here");
  const opened = open(settings);
  if (opened.kind === "connected") {
    opened.socket.close();
    throw usage(`${addressText(settings.address)} is already connected`, "to receive from it: unix-ancillary recv");
  }
  const stop = new AbortController();
  interrupted.addEventListener("abort", () => stop.abort(interrupted.reason));
  const interrupt = stop.signal;
  const active = new Set<Promise<void>>();
  let freed = () => {};
  let number = 0;
  const serve = (receive: (receiver: Receiver) => Promise<void>): void => {
    const receiver = new Receiver(settings, ++number);
    const served = receive(receiver)
      .then(() => receiver.finish())
      .then((exit) => {
        if (exit !== 0) say(`#${receiver.number}: the command ended with ${exit}`);
      })
      .catch((error) => {
        if (error instanceof Interrupted) throw error;
        receiver.fail(error);
      })
      // The output has lost its reader, or takes no report: stop listening.
      .catch((error) => stop.abort(error))
      .finally(() => {
        active.delete(served);
        freed();
      });
    active.add(served);
  };
  try {
    if (settings.credentials) opened.socket.setPassCredentials(true);
    announce(settings);
    for (;;) {
      // Promise.race would leave a reaction with each sender that stays, again for each one that ends.
      while (active.size >= AT_ONCE)
        await new Promise<void>((resolve) => {
          freed = resolve;
        });
      if (opened.kind === "datagram") {
        const first = await nextDatagram(opened.socket, settings, interrupt);
        serve(async (receiver) => receiver.handle(first));
      } else {
        const socket = await accept(opened.socket, interrupt);
        serve((receiver) =>
          within(settings.timeout, "the sender did not finish", interrupt, (signal) =>
            receiver.receive(socket, signal),
          ),
        );
      }
    }
  } finally {
    opened.socket.close();
    await Promise.allSettled(active);
  }
}

/** The next connection; while the descriptor table is full, it tries again. */
async function accept(listener: Listener, signal: AbortSignal): Promise<Connected> {
  for (;;) {
    try {
      return await listener.accept({ signal });
    } catch (error) {
      const { code } = error as { code?: string };
      if (code !== "EMFILE" && code !== "ENFILE") throw error;
      say(`${(error as Error).message}: waiting for other senders to finish`);
      await sleep(200);
    }
  }
}

/** The next datagram; reports and skips datagrams that cannot be received whole. */
async function nextDatagram(socket: UnixDatagram, settings: Settings, signal: AbortSignal): Promise<ReceivedFds> {
  for (;;) {
    try {
      return await socket.recvFdsFrom(settings.maxFds, { bufferSize: BUFFER_BYTES, signal });
    } catch (error) {
      if (!(error as { code?: string }).code?.startsWith("ERR_") || socket.closed) throw error;
      say((error as Error).message);
    }
  }
}

/** Receives the messages of one sender. */
class Receiver {
  readonly number: number | null;
  readonly #settings: Settings;
  readonly #kept: OwnedFd[] = [];
  readonly #data: Buffer[] = [];
  #dataBytes = 0;
  #omittedBytes = 0;
  #messages = 0;
  #fds = 0;

  constructor(settings: Settings, number: number | null) {
    this.#settings = settings;
    this.number = number;
  }

  /** Whether nothing has been received. */
  get empty(): boolean {
    return this.#messages === 0;
  }

  /** Receives until the sender has finished or `--count` is reached, and closes the socket. Calls `onFirst` after the first message. */
  async receive(socket: Connected | UnixDatagram, signal: AbortSignal, onFirst?: () => void): Promise<void> {
    const { count, maxFds } = this.#settings;
    const datagram = "recvFdsFrom" in socket;
    try {
      const peer = datagram ? null : peerOf(socket);
      const stream = socket instanceof UnixStream;
      const options = { bufferSize: stream ? STREAM_BUFFER_BYTES : BUFFER_BYTES, signal };
      for (;;) {
        const most = maxFds - this.#fds;
        const message = datagram ? await socket.recvFdsFrom(most, options) : await socket.recvFds(most, options);
        if (message.eof) break;
        if (this.empty) onFirst?.();
        this.handle(message, peer);
        if (count === null ? datagram : this.#fds >= count) break;
      }
    } catch (error) {
      this.closeKept();
      throw error;
    } finally {
      socket.close();
    }
  }

  /** Prints a message, or keeps it for the command. */
  handle(message: ReceivedFds, peer: Credentials | null = null): void {
    this.#messages++;
    this.#fds += message.fds.length;
    const { runner, maxFds } = this.#settings;
    if (runner === null) {
      try {
        this.#show(message, peer);
      } finally {
        closeAll(message.fds, true);
        message.pidfd?.close();
      }
      return;
    }
    if (message.surplus > 0) say(`${count(message.surplus, "descriptor")} beyond the first ${maxFds} closed`);
    this.#kept.push(...message.fds);
    message.pidfd?.close();
    const room = Math.min(message.data.length, DATA_BYTES - this.#dataBytes);
    // A view, an empty one too, would keep the memory of the whole receive.
    if (room > 0) this.#data.push(Buffer.from(message.data.subarray(0, room)));
    this.#dataBytes += room;
    this.#omittedBytes += message.data.length - room;
  }

  /** Runs the command of `--exec`, if there is one. */
  async finish(): Promise<Exit> {
    const { count: expected, runner, least } = this.#settings;
    try {
      if (this.empty) throw nothing("the sender finished without sending anything");
      const needed = Math.max(expected ?? 0, least);
      if (this.#fds < needed)
        throw nothing(
          `expected ${count(needed, "descriptor")}, got ${this.#fds}${runner === null ? "" : ": the command was not run"}`,
        );
      return runner === null ? EXIT.DONE : await runner.run(this.#kept, Buffer.concat(this.#data), this.#omittedBytes);
    } finally {
      this.closeKept();
    }
  }

  /** Closes the descriptors kept for the command. */
  closeKept(): void {
    closeAll(this.#kept.splice(0), true);
  }

  /** Reports an error of one of many senders. */
  fail(error: unknown): void {
    this.closeKept();
    const { exit, code, message } = failureOf(error);
    if (this.#settings.json) json({ event: "error", number: this.number, exit, code, message });
    else say(`#${this.number}: ${visible(message)}`);
  }

  #show(message: ReceivedFds, peer: Credentials | null): void {
    const { data, surplus, credentials } = message;
    const address = "address" in message ? (message.address as string | null) : null;
    const fds = message.fds.map(describe);
    const text = textOf(data);
    if (this.#settings.json) {
      json({
        event: "message",
        ...(this.number === null ? {} : { number: this.number }),
        from: peer,
        address: address === null ? null : shellName(address),
        credentials,
        fds,
        surplus,
        data: text ?? data.toString("base64"),
        encoding: text === null ? "base64" : "utf8",
      });
      return;
    }
    const from =
      peer !== null ? ` from ${credentialsText(peer)}` : address !== null ? ` from ${plain(shellName(address))}` : "";
    print(
      [
        `${this.number === null ? "" : `#${this.number} `}${count(fds.length, "descriptor")}, ${count(data.length, "byte")}${from}`,
        ...fds.map((fd, i) => `  [${i}] ${described(fd)}`),
        ...(surplus > 0 ? [`  ${count(surplus, "descriptor")} beyond --max-fds, closed`] : []),
        ...(data.length > 0 ? [`  data ${text === null ? `in hex ${data.toString("hex")}` : quoted(text)}`] : []),
        ...(this.#settings.credentials
          ? [
              `  sent by ${credentials === null ? "an unknown process: credentials were requested after the message was sent" : credentialsText(credentials)}`,
            ]
          : []),
      ].join("\n"),
    );
  }
}

function credentialsText({ pid, uid, gid }: Credentials): string {
  return `${pid === null ? "" : `pid ${pid}, `}uid ${uid}, gid ${gid}`;
}

function nothing(message: string): Failure {
  return new Failure(EXIT.NOTHING, "ERR_NOTHING_CAME", message);
}
