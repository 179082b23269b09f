/** `recv` and `listen`: descriptors that come, shown or given to a command. */

import { setTimeout as sleep } from "node:timers/promises";
import { type Credentials, type OwnedFd, type ReceivedFds, type UnixDatagram, UnixStream } from "../index.ts";
import { hostPlatform } from "../system/platform.ts";
import { type Place, placeName, placeOf } from "./address.ts";
import type { Command, Given, Option } from "./arguments.ts";
import { EXIT, Failure, failureOf, usage } from "./failure.ts";
import { count, describe, described, json, plain, print, quoted, say, shellName, textOf } from "./output.ts";
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
import { Interrupted, interruptible, type Outcome, within } from "./waiting.ts";

/** Bytes of one receive: more than a datagram or record can have with the system's usual limits. */
const BUFFER_BYTES = 1 << 20;
const STREAM_BUFFER_BYTES = 65536;

/** Connections, and commands, of `listen` at a time; others wait to be accepted. */
const AT_ONCE = 64;

const OPTIONS: Readonly<Record<string, Option>> = {
  exec: {
    rest: true,
    help: "gives the descriptors to a command, of all the words that follow, instead of showing them",
  },
  name: {
    value: "NAME",
    several: true,
    help: "with --exec: a name in LISTEN_FDNAMES; one for all, or several in their order, also as A:B",
  },
  fd: {
    value: "N",
    several: true,
    help: "with --exec: the number that the first (second, ...) descriptor gets, 0 for standard input; without LISTEN_*",
  },
  count: { value: "N", help: "so many descriptors are expected: done when they are there, exit code 3 on fewer" },
  "max-fds": {
    value: "N",
    help: "more descriptors than these are closed, and counted; as many as one message has, unless given",
  },
  timeout: { value: "SECONDS", help: "how long to wait, with exit code 4; for ever unless given" },
  credentials: { help: "shows who sent each message, as the kernel vouches for it (SO_PASSCRED)" },
  mode: MODE,
  ...TYPES,
};

const HANDED_OVER = `With --exec the descriptors are 3, 4, ... in CMD, which finds their number in LISTEN_FDS, their names in
LISTEN_FDNAMES and its own pid in LISTEN_PID, as a service does that systemd starts with its sockets; with --fd they get
the numbers you say. CMD has these descriptors, 0, 1 and 2, and no others. The bytes that came with them are in
UNIX_ANCILLARY_DATA, where they are text.`;

export const recv: Command = {
  name: "recv",
  synopsis: ["recv [options] PATH|@NAME|fd:N [--exec CMD...]"],
  summary: "receive descriptors: show what came, or give them to a command",
  about: `Binds a Unix socket at PATH, waits for one sender, and receives until the sender has finished (of datagrams: one), or
--count descriptors are there. It shows what came; descriptors are closed again. @NAME is an abstract name (Linux), fd:N a
socket that the shell opened, connected or listening.

${HANDED_OVER} The exit code is CMD's then, and signals reach it.`,
  options: {
    ...OPTIONS,
    connect: { help: "connects to somebody who listens at PATH, instead of listening there" },
    wait: { help: "with --connect: waits until somebody listens" },
  },
  examples: [
    [
      "unix-ancillary recv /tmp/demo.sock",
      "waits, and shows what came; in another terminal: unix-ancillary send /tmp/demo.sock FILE",
    ],
    ["unix-ancillary recv /tmp/demo.sock --fd 0 --exec wc -l", "counts the lines of a file that the sender opened"],
    [
      "unix-ancillary recv /run/web.sock --name http --exec node server.js",
      "starts a server with the socket that a privileged process opened",
    ],
    ["unix-ancillary recv @demo --timeout 5 --json", "an abstract name, five seconds at most, for a program"],
  ],
  run: (given) => interruptible((interrupt) => runRecv(given, interrupt)),
};

const { count: COUNT, ...LISTEN_OPTIONS } = OPTIONS;

export const listen: Command = {
  name: "listen",
  synopsis: ["listen [options] PATH|@NAME|fd:N [--exec CMD...]"],
  summary: "the same for every sender that connects, until it is stopped",
  about: `Binds a Unix socket at PATH and receives from everybody who connects (of datagrams: every one), until it is stopped by ^C or
SIGTERM; then it removes PATH. What a sender does wrong is said on stderr, and the next one served.

${HANDED_OVER} One CMD is started for each connection or datagram, ${AT_ONCE} at a time; it reads nothing on 0.`,
  options: {
    ...LISTEN_OPTIONS,
    count: COUNT!,
    timeout: { value: "SECONDS", help: "how long one sender may take; for ever unless given" },
  },
  examples: [
    ["unix-ancillary listen /tmp/demo.sock", "shows what each sender passes"],
    [
      "unix-ancillary listen --datagram --credentials /tmp/log.sock --json",
      "a line of JSON for each datagram, with who sent it",
    ],
    ["unix-ancillary listen /tmp/in.sock --fd 0 --exec sha256sum", "the checksum of every file that is passed"],
  ],
  run: (given) => interruptible((interrupt) => runListen(given, interrupt)),
};

/** What the options of both commands say. */
interface Settings {
  readonly place: Place;
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

function settingsOf(given: Given, stdin: boolean): Settings {
  const [word, ...more] = given.words;
  const place = placeOf(word);
  if (more.length > 0)
    throw usage(`expected one PATH, got also "${more[0]}"`, "a command to run is written behind --exec");
  given.exclude("json", "exec", "the output is the command's");
  given.exclude("fd", "name", "LISTEN_FDNAMES is for descriptors 3, 4, ...");
  for (const name of ["name", "fd"])
    if (given.has(name) && !given.has("exec")) throw usage(`--${name} is for a command: it needs --exec CMD`);
  const command = given.all("exec");
  const numbers = numbersOf(given.all("fd"));
  const names = namesOf(given.all("name"));
  const wanted = given.integer("count", 1, 0x7fffffff);
  const limit = given.integer("max-fds", 0, 0x7fffffff);
  if (wanted !== null && limit !== null && wanted > limit)
    throw usage(`--count ${wanted} can never be reached with --max-fds ${limit}`);
  // Without a number a descriptor has no place.
  const most = numbers.length > 0 ? numbers.length : hostPlatform().abi.maxFdsPerMessage;
  if (numbers.length > 0 && wanted !== null && wanted > numbers.length)
    throw usage(`--count ${wanted} expected as many --fd, got ${numbers.length}`);
  return {
    place,
    type: typeOf(given),
    mode: modeOf(given),
    count: wanted,
    maxFds: limit ?? Math.max(most, wanted ?? 0),
    timeout: given.milliseconds("timeout"),
    credentials: given.has("credentials"),
    json: given.has("json"),
    least: given.has("exec") ? Math.max(1, numbers.length) : 0,
    runner: given.has("exec")
      ? new Runner({ command, names, numbers, stdin: stdin && !("fd" in place && place.fd === 0) })
      : null,
  };
}

async function runRecv(given: Given, interrupt: AbortSignal): Promise<Outcome> {
  const settings = settingsOf(given, true);
  const { place } = settings;
  if (given.has("wait") && !given.has("connect")) throw usage("--wait needs --connect: else recv waits anyway");
  if (given.has("connect") && ("fd" in place || settings.type === "datagram"))
    throw usage(
      `--connect needs the path of a stream or seqpacket socket, got ${"fd" in place ? placeName(place) : "--datagram"}`,
    );
  if (settings.mode !== null && ("fd" in place || given.has("connect")))
    throw usage("--mode is for the file that recv makes: it makes none here");
  const reception = new Reception(settings, null);
  await within(settings.timeout, "nothing came", interrupt, async (signal) => {
    const opened = given.has("connect")
      ? {
          kind: "connected" as const,
          socket: await connect((place as { path: string }).path, connectedType(settings), signal, given.has("wait")),
        }
      : open(settings);
    const { socket } = opened;
    try {
      if (settings.credentials) socket.setPassCredentials(true);
      if (opened.kind !== "connected") announce(settings);
      if (opened.kind !== "listener") return await reception.from(opened.socket, signal);
      // Who only looks whether somebody listens is no sender. Behind the first that is, others are told that nobody does.
      while (reception.empty)
        await reception.from(await opened.socket.accept({ signal }), signal, () => socket.close());
    } finally {
      socket.close();
    }
  });
  return reception.finish();
}

function connectedType(settings: Settings): "stream" | "seqpacket" {
  return settings.type === "seqpacket" ? "seqpacket" : "stream";
}

function open({ place, type, mode }: Settings) {
  return "fd" in place ? inheritedSocket(place.fd, type) : bind(place.path, type ?? "stream", mode);
}

function announce({ json: asJson, runner, place }: Settings): void {
  if (asJson) json({ event: "listening", address: placeName(place) });
  else say(`listening on ${plain(placeName(place))}${runner === null ? "" : ", to give what comes to a command"}`);
}

async function runListen(given: Given, interrupted: AbortSignal): Promise<Outcome> {
  const settings = settingsOf(given, false);
  if (settings.mode !== null && "fd" in settings.place)
    throw usage("--mode is for the file that listen makes: it makes none here");
  const opened = open(settings);
  if (opened.kind === "connected") {
    opened.socket.close();
    throw usage(`${placeName(settings.place)} is connected already`, "unix-ancillary recv receives from it");
  }
  const stop = new AbortController();
  interrupted.addEventListener("abort", () => stop.abort(interrupted.reason));
  const interrupt = stop.signal;
  const active = new Set<Promise<void>>();
  let number = 0;
  const serve = (receive: (reception: Reception) => Promise<void>): void => {
    const reception = new Reception(settings, ++number);
    const served = receive(reception)
      .then(() => reception.finish())
      .then((outcome) => {
        if (outcome !== 0) say(`#${reception.number}: the command ended with ${outcome}`);
      })
      .catch((error) => {
        // Nobody reads what is shown: then there is nothing to listen for.
        if (error instanceof Interrupted) stop.abort(error);
        else reception.fail(error);
      })
      .finally(() => active.delete(served));
    active.add(served);
  };
  try {
    if (settings.credentials) opened.socket.setPassCredentials(true);
    announce(settings);
    for (;;) {
      while (active.size >= AT_ONCE) await Promise.race(active);
      if (opened.kind === "datagram") {
        const first = await nextDatagram(opened.socket, settings, interrupt);
        serve(async (reception) => reception.take(first));
      } else {
        const socket = await accept(opened.socket, interrupt);
        serve((reception) =>
          within(settings.timeout, "it did not finish", interrupt, (signal) => reception.from(socket, signal)),
        );
      }
    }
  } finally {
    opened.socket.close();
    await Promise.allSettled(active);
  }
}

/** The next connection, though the descriptor table may be full for a while. */
async function accept(listener: Listener, signal: AbortSignal): Promise<Connected> {
  for (;;) {
    try {
      return await listener.accept({ signal });
    } catch (error) {
      const { code } = error as { code?: string };
      if (code !== "EMFILE" && code !== "ENFILE") throw error;
      say(`${(error as Error).message}: others have to finish first`);
      await sleep(200);
    }
  }
}

/** The next datagram; one that cannot be received whole is said, and passed over. */
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

/** What comes from one sender. */
class Reception {
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

  /** Whether nothing has come. */
  get empty(): boolean {
    return this.#messages === 0;
  }

  /** Receives until the sender has finished, or enough is there; the socket is closed then. `first` is called when something comes. */
  async from(socket: Connected | UnixDatagram, signal: AbortSignal, first?: () => void): Promise<void> {
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
        if (this.empty) first?.();
        this.take(message, peer);
        if (count === null ? datagram : this.#fds >= count) break;
      }
    } catch (error) {
      this.drop();
      throw error;
    } finally {
      socket.close();
    }
  }

  /** Shows a message, or keeps it for the command. */
  take(message: ReceivedFds, peer: Credentials | null = null): void {
    this.#messages++;
    this.#fds += message.fds.length;
    const { runner, maxFds } = this.#settings;
    if (runner === null) {
      try {
        this.#show(message, peer);
      } finally {
        message[Symbol.dispose]();
      }
      return;
    }
    if (message.surplus > 0) say(`${count(message.surplus, "descriptor")} beyond the first ${maxFds}: closed`);
    this.#kept.push(...message.fds);
    message.pidfd?.close();
    const room = Math.min(message.data.length, DATA_BYTES - this.#dataBytes);
    this.#data.push(message.data.subarray(0, room));
    this.#dataBytes += room;
    this.#omittedBytes += message.data.length - room;
  }

  /** Runs the command, where there is one. */
  async finish(): Promise<Outcome> {
    const { count: wanted, runner, least } = this.#settings;
    try {
      if (this.empty) throw nothing("the sender finished and had sent nothing");
      const needed = Math.max(wanted ?? 0, least);
      if (this.#fds < needed)
        throw nothing(
          `expected ${count(needed, "descriptor")}, got ${this.#fds}${runner === null ? "" : ": the command was not run"}`,
        );
      return runner === null ? EXIT.DONE : await runner.run(this.#kept, Buffer.concat(this.#data), this.#omittedBytes);
    } finally {
      this.drop();
    }
  }

  drop(): void {
    for (const fd of this.#kept.splice(0)) fd.close();
  }

  /** Says what went wrong with one of many senders. */
  fail(error: unknown): void {
    this.drop();
    const { exit, code, message } = failureOf(error);
    if (this.#settings.json) json({ event: "error", number: this.number, exit, code, message });
    else say(`#${this.number}: ${message}`);
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
    const from = peer !== null ? ` from ${who(peer)}` : address !== null ? ` from ${plain(shellName(address))}` : "";
    print(
      [
        `${this.number === null ? "" : `#${this.number} `}${count(fds.length, "descriptor")}, ${count(data.length, "byte")}${from}`,
        ...fds.map((fd, i) => `  [${i}] ${described(fd)}`),
        ...(surplus > 0 ? [`  ${count(surplus, "descriptor")} beyond --max-fds, closed`] : []),
        ...(data.length > 0 ? [`  data ${text === null ? `in hex ${data.toString("hex")}` : quoted(text)}`] : []),
        ...(this.#settings.credentials
          ? [`  sent by ${credentials === null ? "somebody unknown: before this end asked" : who(credentials)}`]
          : []),
      ].join("\n"),
    );
  }
}

function who({ pid, uid, gid }: Credentials): string {
  return `${pid === null ? "" : `pid ${pid}, `}uid ${uid}, gid ${gid}`;
}

function nothing(message: string): Failure {
  return new Failure(EXIT.NOTHING, "ERR_NOTHING_CAME", message);
}
