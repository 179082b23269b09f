/** Random programs from a seed, and their observations, for the real kernel and the virtual one. */

import {
  type AncillaryData,
  type OwnedFd,
  type Platform,
  type PlatformOptions,
  type ReceivedFds,
  recvmsg,
  SocketAncillary,
  sendmsg,
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
} from "unix-ancillary";
import { Codec, type ControlMessage } from "unix-ancillary/core";
import { generator } from "../../src/testing/random.ts";
import { closedAgain, openFds } from "../support.ts";

/** The kernel that a program runs on, with its files and paths. */
export interface World extends PlatformOptions {
  /** Files to send, by name. */
  readonly files: ReadonlyMap<string, OwnedFd>;
  /** The name of the file that a received descriptor refers to. */
  nameOf(fd: number): string;
  /** The id of the process. */
  readonly pid: number;
  /** Paths for sockets; the same number in every world. */
  readonly paths: readonly string[];
  /** Runs an action with a number of free slots in the descriptor table; undefined if this world's table is never filled. */
  withRoom?(free: number, action: () => string): string;
}

type AnySocket = UnixStream | UnixDatagram | UnixSeqpacket;

const KINDS = { stream: UnixStream, dgram: UnixDatagram, seqpacket: UnixSeqpacket } as const;
export type Kind = keyof typeof KINDS;

/** The same for both kernels. */
const codec = new Codec("linux-x86_64-glibc");

/**
 * Options whose values are the same on both kernels. Security modules differ in which sockets they label: SELinux no datagram sockets, and
 * those that are not connected as "unlabeled" (security/selinux/hooks.c).
 */
const READABLE = [
  "SO_TYPE",
  "SO_ACCEPTCONN",
  "SO_PASSCRED",
  "SO_PASSPIDFD",
  "SO_PASSRIGHTS",
  ...(labelsPeers() ? [] : (["SO_PEERSEC"] as const)),
] as const;

/** Whether this kernel has a security module that labels peers. */
function labelsPeers(): boolean {
  const [a, b] = UnixStream.pair();
  try {
    return a.getOption("SOL_SOCKET", "SO_PEERSEC", 4096).length > 0;
  } catch {
    return false;
  } finally {
    a.close();
    b.close();
  }
}

/** The state of a program, its actions and its observations. */
class Observer {
  readonly world: World;
  readonly options: PlatformOptions;
  readonly names: string[];
  readonly transcript: string[] = [];
  readonly random: (below: number) => number;
  #letter = 0;

  constructor(seed: number, world: World) {
    this.random = generator(seed);
    this.world = world;
    this.options = world.platform === undefined ? {} : { platform: world.platform };
    this.names = [...world.files.keys()];
  }

  pick<T>(from: readonly T[]): T {
    return from[this.random(from.length)]!;
  }

  payload(): string {
    const length = this.pick([0, 1, 1, 2, 5, 20]);
    return Array.from({ length }, () => String.fromCharCode(97 + (this.#letter++ % 26))).join("");
  }

  fds(): { fds: string[]; owned: OwnedFd[] } {
    const fds = Array.from({ length: this.pick([0, 0, 1, 1, 2, 4]) }, () => this.pick(this.names));
    return { fds, owned: fds.map((name) => this.world.files.get(name)!) };
  }

  observe(what: string, action: () => string): void {
    let seen: string;
    const open = this.world.withRoom === undefined ? Number.POSITIVE_INFINITY : openFds().size;
    try {
      seen = action();
    } catch (error) {
      closedAgain(open);
      const { code, syscall, reason, data } = error as {
        code: string;
        syscall?: string;
        reason?: string;
        data?: Buffer;
      };
      seen = `throws ${code} ${syscall ?? ""} ${reason ?? ""} ${data?.toString("latin1") ?? ""}`;
      if (code === undefined) seen = String((error as Error).stack);
    }
    this.transcript.push(`${what}: ${seen}`);
  }

  credentials(one: { pid: number | null; uid: number; gid: number } | null): string {
    return one === null ? "-" : `${one.pid === this.world.pid ? "self" : one.pid} ${one.uid} ${one.gid}`;
  }

  /** A name without what may differ: the folder, and names chosen by the kernel. */
  address(one: string | null): string {
    if (one === null) return "-";
    const known = this.world.paths.indexOf(one);
    return known === -1 ? one.replace(/^\0[0-9a-f]{5}$/, "chosen by the kernel") : `path ${known}`;
  }

  shown(message: ReceivedFds): string {
    const fds = message.fds.map((fd) => this.world.nameOf(fd.fd)).join(",");
    const { address } = message as { address?: string | null };
    const text = `"${message.data.toString("latin1")}" [${fds}] eof ${message.eof} surplus ${message.surplus} cut ${message.dataTruncated} from ${this.credentials(message.credentials)} pidfd ${message.pidfd !== null} at ${message.streamOffset} of ${address === undefined ? "" : this.address(address)}`;
    message[Symbol.dispose]();
    return text;
  }

  taken(one: AncillaryData): string {
    switch (one.kind) {
      case "rights": {
        const fds = one.fds.map((fd) => this.world.nameOf(fd.fd)).join(",");
        for (const fd of one.fds) fd.close();
        return `rights [${fds}]`;
      }
      case "credentials":
        return `credentials ${this.credentials(one.credentials)}`;
      case "pidfd":
        one.pidfd.close();
        return "pidfd";
      default:
        return one.kind;
    }
  }

  /** One system call with a chosen size of the control buffer, which the library never does. */
  rawReceive(socket: AnySocket): void {
    const platform = platformOf(socket);
    const { system, abi, core } = platform;
    const [room, capacity] = [this.pick([0, 1, 3, 100]), this.random(80)];
    const peeks = this.random(4) === 0;
    const wantAddress = this.random(2) === 0;
    this.observe(`recvmsg of ${room} with control space ${capacity}${peeks ? ", peeking" : ""}`, () => {
      const buffer = Buffer.alloc(room);
      const flags = abi.MSG_DONTWAIT | abi.MSG_CMSG_CLOEXEC! | (peeks ? abi.MSG_PEEK : 0);
      const bytes = system.recvmsg(socket.fd, buffer, 0, room, capacity, flags, wantAddress);
      if (bytes < 0) return String(bytes);
      const [controlLength, shownFlags] = [system.out[0]!, system.out[1]!];
      const name = wantAddress ? Buffer.from(system.address.subarray(0, Math.max(0, system.out[2]!))).toString() : "";
      const control = core.control.slice(0, controlLength);
      const { messages, malformed } = codec.decode(control, { flags: shownFlags });
      const came = messages.map((message) => this.#closed(platform, message)).join("; ");
      return `${bytes} "${buffer.toString("latin1", 0, bytes)}" flags ${shownFlags} control ${controlLength} ${malformed?.reason} ${came} of ${this.address(name.replace(/(?<=.)\0.*/, ""))}`;
    });
  }

  #closed({ system, abi }: Platform, message: ControlMessage): string {
    const { level, type, data } = message;
    const what = `${level}/${type} of ${data.length}`;
    const ints = Array.from({ length: data.length >> 2 }, (_, i) => Buffer.from(data).readInt32LE(4 * i));
    if (type === abi.SCM_RIGHTS || type === abi.SCM_PIDFD) {
      const known = ints.map((fd) => (fd < 0 ? fd : type === abi.SCM_PIDFD ? "pidfd" : this.world.nameOf(fd)));
      for (const fd of ints) if (fd >= 0) system.close(fd);
      return `${what} ${known}`;
    }
    return `${what} ${ints.map((one, i) => (i === 0 && one === this.world.pid ? "self" : one))} ${data.length & 3}`;
  }

  /** Sends any kind of control data: several SCM_RIGHTS, credentials, unknown, truncated or overlong messages. */
  rawSend(socket: AnySocket): void {
    const platform = platformOf(socket);
    const { system, abi, core } = platform;
    const data = this.payload();
    const kinds: string[] = [];
    const messages = Array.from({ length: this.random(4) }, (): ControlMessage => {
      const { fds, owned } = this.fds();
      const level = abi.SOL_SOCKET;
      switch (this.random(6)) {
        case 0: {
          const pid = this.random(3) === 0 ? 1 : this.world.pid;
          const uid = this.random(3) === 0 ? 7 : process.getuid!();
          kinds.push(`credentials ${pid === 1 ? 1 : "self"} ${uid}`);
          return codec.credentials({ pid, uid, gid: process.getgid!() });
        }
        case 1: {
          const [other, type, length] = [this.pick([level, level + 1]), 1 + this.random(5), this.random(9)];
          // Not SCM_RIGHTS: the open descriptors of this process may differ.
          const unknown = other === level && type === abi.SCM_RIGHTS ? abi.SCM_SECURITY! : type;
          kinds.push(`${other}/${unknown} of ${length}`);
          return { level: other, type: unknown, data: new Uint8Array(length) };
        }
        case 2: {
          const bad = [...owned.map(({ fd }) => fd), 0x7ffffff0];
          kinds.push(`[${fds},bad]`);
          return this.random(4) === 0 ? codec.rights(bad) : codec.rights([]);
        }
        default:
          kinds.push(`[${fds}]`);
          return codec.rights(owned.map(({ fd }) => fd));
      }
    });
    const control = codec.encode(messages);
    const change = this.pick([0, 0, 0, -1, -4, -8, -20, 1, 8, 15, 16]);
    const length = Math.max(0, control.length + change);
    this.observe(`sendmsg of "${data}" with ${kinds} ${change}`, () => {
      core.control.fill(0, 0, length);
      core.control.set(control.subarray(0, length));
      const bytes = Buffer.from(data);
      return String(system.sendmsg(socket.fd, bytes, 0, bytes.length, length, platform.sendFlags, null));
    });
  }

  /** The result of `poll(2)`, and the pending error. */
  readiness(socket: AnySocket | UnixListener<UnixStream | UnixSeqpacket>): void {
    const { system, constants } = platformOf(socket);
    const takes = this.random(8) === 0;
    this.observe("poll", () => {
      const bits = system.poll(socket.fd, 1 | 4 | constants.POLLRDHUP!, 0);
      const error = new Int32Array(1);
      if (takes) system.getsockopt(socket.fd, constants.SOL_SOCKET!, constants.SO_ERROR!, new Uint8Array(error.buffer));
      return `${bits}${takes ? ` error ${error[0]}` : ""}`;
    });
  }

  /** Sends or receives with one of the methods. */
  transfer(socket: AnySocket): void {
    const { fds, owned } = this.fds();
    switch (this.random(7)) {
      case 0:
      case 1: {
        const data = this.payload();
        this.observe(`sends "${data}" [${fds}]`, () => String(socket.trySendFds(data, owned)));
        break;
      }
      case 2: {
        const data = this.payload();
        this.observe(`sendmsg "${data}" [${fds}]`, () => {
          const ancillary = new SocketAncillary(256, this.options);
          if (this.random(3) > 0) ancillary.addFds(owned);
          return String(sendmsg(socket, data, ancillary, this.options));
        });
        break;
      }
      case 3:
      case 4: {
        const [maxFds, bufferSize, allowTruncated] = [
          this.random(4),
          this.pick([1, 2, 3, 10, 100]),
          this.random(2) === 0,
        ];
        const free = this.random(4);
        const receive = (): string => {
          const message = socket.tryRecvFds(maxFds, { bufferSize, allowTruncated });
          return message === null ? "nothing" : this.shown(message);
        };
        const full = this.world.withRoom !== undefined && this.random(2) === 0;
        this.observe(`receives ${maxFds} ${bufferSize} ${allowTruncated} ${full ? `room ${free}` : ""}`, () =>
          full ? this.world.withRoom!(free, receive) : receive(),
        );
        break;
      }
      case 5: {
        const [room, capacity] = [this.pick([1, 2, 3, 10, 100]), this.pick([0, 16, 20, 24, 32, 48, 64, 256])];
        this.observe(`recvmsg ${room} ${capacity}`, () => {
          const buffer = Buffer.alloc(room);
          const ancillary = capacity === 0 ? null : new SocketAncillary(capacity, this.options);
          const result = recvmsg(socket, buffer, ancillary, this.options);
          const came = [...(ancillary?.messages() ?? [])].map((one) => this.taken(one)).join("; ");
          const { bytesRead, ancillaryTruncated, dataTruncated, address } = result;
          const text = buffer.toString("latin1", 0, Math.min(bytesRead, room));
          return `${bytesRead} "${text}" ${ancillaryTruncated} ${dataTruncated} ${this.address(address)} ${came}`;
        });
        break;
      }
      default:
        if (this.random(2) === 0) this.rawSend(socket);
        else this.rawReceive(socket);
    }
  }

  /** Sets one of the socket options of Linux. */
  option(socket: AnySocket | UnixListener<UnixStream | UnixSeqpacket>): void {
    const on = this.random(2) === 0;
    switch (this.random(6)) {
      case 4: {
        const name = this.pick([...READABLE, 9999]);
        this.observe(`reads ${name}`, () => String(socket.getOption("SOL_SOCKET", name)));
        break;
      }
      case 5: {
        const [level, name] = [this.pick([1, 0, 6]), this.pick([59, 3, 9999])];
        this.observe(`sets ${name} of level ${level}`, () => String(socket.setOption(level, name, 1)));
        break;
      }
      case 0:
      case 1:
        this.observe(`passes credentials ${on}`, () => String(socket.setPassCredentials(on)));
        break;
      case 2:
        this.observe(`passes pidfds ${on}`, () => String(socket.setPassPidfd(on)));
        break;
      default: {
        if (this.random(3) > 0) break;
        this.observe(`passes rights ${on}`, () => String(socket.setPassRights(on)));
      }
    }
  }
}

function platformOf(socket: object): Platform {
  return (socket as { platform: Platform }).platform;
}

/** Runs the program of a seed over a connected pair; returns a line per observation. */
export function runProgram(type: Kind, seed: number, steps: number, world: World): string[] {
  const program = new Observer(seed, world);
  const sockets: AnySocket[] = KINDS[type].pair(program.options);
  for (let step = 0; step < steps; step++) {
    const at = program.random(2);
    const socket = sockets[at]!;
    const before = program.transcript.length;
    switch (program.random(14)) {
      case 10:
        program.option(socket);
        break;
      case 11:
        program.readiness(socket);
        break;
      case 12:
        if (program.random(3) > 0) break;
        program.observe("shuts down", () => {
          const how = program.pick(["read", "write", "both"] as const);
          socket.shutdown(how);
          return how;
        });
        break;
      case 13:
        if (program.random(6) > 0) break;
        program.observe("closes", () => {
          socket.close();
          return "closed";
        });
        break;
      default:
        program.transfer(socket);
    }
    if (program.transcript.length > before) program.transcript.push(`  by ${at}`);
  }
  for (const socket of sockets) socket.close();
  return program.transcript;
}

/** The same for listeners: backlogs, waiting connections, names, inherited options. */
export function runConnections(type: "stream" | "seqpacket", seed: number, steps: number, world: World): string[] {
  const program = new Observer(seed, world);
  const { transcript } = program;
  let listener = null as UnixListener<UnixStream | UnixSeqpacket> | null;
  let waiting = 0;
  let backlog = 0;
  const sockets: (UnixStream | UnixSeqpacket)[] = [];
  const raw: { fd: number; platform: Platform }[] = [];
  for (let step = 0; step < steps; step++) {
    if (listener === null || listener.closed) {
      backlog = program.random(3);
      waiting = 0;
      const path = program.pick(world.paths);
      program.observe("listens", () => {
        listener = UnixListener.bind(path, { ...program.options, type: type as "stream", backlog });
        return `${program.address(listener.address)} ${backlog}`;
      });
      continue;
    }
    const current = listener;
    const socket = sockets.length === 0 ? null : program.pick(sockets);
    switch (program.random(16)) {
      case 0:
      case 1:
        // It would wait for ever, as no other program runs.
        if (waiting > backlog) break;
        program.observe("connects", () => {
          const client = KINDS[type].connectSync(current.address!, program.options);
          sockets.push(client);
          waiting++;
          return `${program.address(client.address)} to ${program.address(client.peerAddress)} ${program.credentials(client.peerCredentials())}`;
        });
        break;
      case 2:
        program.observe("connects, or not", () => {
          const platform = platformOf(current);
          const fd = platform.system.socket(platform.constants[type === "stream" ? "SOCK_STREAM" : "SOCK_SEQPACKET"]!);
          raw.push({ fd, platform });
          const path = program.random(4) === 0 ? program.pick(world.paths) : current.address!;
          const result = platform.system.connect(fd, Buffer.from(path));
          if (result === 0) waiting++;
          return String(result);
        });
        break;
      case 3:
        program.observe("connects with the wrong type", () => {
          const other = type === "stream" ? UnixSeqpacket : UnixStream;
          return String(other.connectSync(current.address!, program.options));
        });
        break;
      case 4:
      case 5:
      case 6:
        program.observe("accepts", () => {
          const server = current.acceptSync({ timeout: 0 });
          sockets.push(server);
          waiting--;
          return `${program.address(server.address)} from ${program.address(server.peerAddress)} ${program.credentials(server.peerCredentials())}`;
        });
        break;
      case 7:
        program.option(current);
        break;
      case 8:
        if (program.random(4) > 0) break;
        program.observe("stops listening", () => {
          current.close();
          return "closed";
        });
        break;
      case 9:
        program.readiness(socket ?? current);
        break;
      case 10:
        if (socket === null || program.random(3) > 0) break;
        sockets.splice(sockets.indexOf(socket), 1);
        program.observe("closes", () => {
          socket.close();
          return "closed";
        });
        break;
      case 11:
        if (socket === null) break;
        program.observe("names", () => `${program.address(socket.address)} ${program.address(socket.peerAddress)}`);
        break;
      default:
        if (socket !== null) program.transfer(socket);
    }
  }
  listener?.close();
  for (const socket of sockets) socket.close();
  for (const { fd, platform } of raw) platform.system.close(fd);
  return transcript;
}

/** The same for named datagram sockets, connected or not. */
export function runDatagrams(seed: number, steps: number, world: World): string[] {
  const program = new Observer(seed, world);
  const sockets: UnixDatagram[] = [];
  for (let step = 0; step < steps; step++) {
    const socket = sockets.length === 0 ? null : program.pick(sockets);
    const choice = program.random(18);
    if (socket === null || (choice < 3 && sockets.length < 4)) {
      program.observe("a socket", () => {
        const path = program.pick([...world.paths, "", null]);
        const made = path === null ? UnixDatagram.unbound(program.options) : UnixDatagram.bind(path, program.options);
        sockets.push(made);
        return program.address(made.address);
      });
      continue;
    }
    const to = program.pick(world.paths);
    switch (choice) {
      case 3:
      case 4:
        program.observe(`connects to ${world.paths.indexOf(to)}`, () => String(socket.connect(to)));
        break;
      case 5:
      case 6:
      case 7:
      case 8: {
        const data = program.payload();
        const { fds, owned } = program.fds();
        program.observe(`sends "${data}" [${fds}] to ${world.paths.indexOf(to)}`, () =>
          String(socket.sendFdsToSync(data, owned, to, { timeout: 0 })),
        );
        break;
      }
      case 9:
      case 10:
      case 11:
        program.observe("receives from", () =>
          program.shown(socket.recvFdsFromSync(program.random(3), { bufferSize: 30, timeout: 0 })),
        );
        break;
      case 12:
        program.option(socket);
        break;
      case 13:
        program.readiness(socket);
        break;
      case 14:
        if (program.random(3) > 0) break;
        sockets.splice(sockets.indexOf(socket), 1);
        program.observe("closes", () => {
          socket.close();
          return "closed";
        });
        break;
      default:
        program.transfer(socket);
    }
    program.transcript.push(`  by ${sockets.indexOf(socket)}`);
  }
  for (const socket of sockets) socket.close();
  return program.transcript;
}

/** Sends descriptors without receiving until the kernel refuses more, receives some, and repeats. */
export function runUntilRefused(type: Kind, world: World): string[] {
  const program = new Observer(1, world);
  const pairs: AnySocket[][] = [];
  const [file] = [...world.files.values()];
  for (let round = 0; round < 3; round++) {
    for (let sent = 0, going = true; going && sent < 300; sent++) {
      // A datagram socket queues few messages.
      if (sent % 8 === 0) pairs.push(KINDS[type].pair(program.options));
      program.observe("sends 7", () => {
        going = false;
        const bytes = pairs.at(-1)![0]!.trySendFds("x", new Array(7).fill(file));
        going = true;
        return String(bytes);
      });
    }
    program.observe("sends none", () => String(pairs.at(-1)![0]!.trySendFds("x")));
    for (let i = 0; i < 1 + round; i++)
      program.observe("receives", () => program.shown(pairs[0]![1]!.recvFdsSync(7, { timeout: 0 })));
  }
  for (const socket of pairs.flat()) socket.close();
  return program.transcript;
}
