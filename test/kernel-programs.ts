/** Programs that follow from a seed, and what they observe: run on the real kernel and on the virtual one. */

import {
  type AncillaryData,
  type OwnedFd,
  type PlatformOptions,
  type ReceivedFds,
  recvmsg,
  SocketAncillary,
  sendmsg,
  UnixDatagram,
  UnixSeqpacket,
  UnixStream,
} from "unix-ancillary";

/** Where a program runs. */
export interface World extends PlatformOptions {
  /** Files to send, by name. */
  readonly files: ReadonlyMap<string, OwnedFd>;
  /** Which of them a received descriptor is. */
  nameOf(fd: OwnedFd): string;
  /** The process's own id. */
  readonly pid: number;
}

type AnySocket = UnixStream | UnixDatagram | UnixSeqpacket;

const KINDS = { stream: UnixStream, dgram: UnixDatagram, seqpacket: UnixSeqpacket } as const;

/** Runs the program of a seed; a line for each thing it observed. */
export function runProgram(type: keyof typeof KINDS, seed: number, steps: number, world: World): string[] {
  let state = seed >>> 0;
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const pick = <T>(from: readonly T[]): T => from[random(from.length)]!;
  const options = world.platform === undefined ? {} : { platform: world.platform };
  const sockets: AnySocket[] = KINDS[type].pair(options);
  const names = [...world.files.keys()];
  const transcript: string[] = [];
  let letter = 0;

  const observe = (what: string, action: () => string): void => {
    let seen: string;
    try {
      seen = action();
    } catch (error) {
      const { code, syscall, reason, data } = error as {
        code: string;
        syscall?: string;
        reason?: string;
        data?: Buffer;
      };
      seen = `throws ${code} ${syscall ?? ""} ${reason ?? ""} ${data?.toString("latin1") ?? ""}`;
    }
    transcript.push(`${what}: ${seen}`);
  };
  const payload = (): string => {
    const length = pick([0, 1, 1, 2, 5, 20]);
    return Array.from({ length }, () => String.fromCharCode(97 + (letter++ % 26))).join("");
  };
  const credentials = (one: { pid: number | null; uid: number; gid: number } | null): string =>
    one === null ? "-" : `${one.pid === world.pid ? "self" : one.pid} ${one.uid} ${one.gid}`;
  const shown = (message: ReceivedFds): string => {
    const fds = message.fds.map((fd) => world.nameOf(fd)).join(",");
    const text = `"${message.data.toString("latin1")}" [${fds}] eof ${message.eof} surplus ${message.surplus} cut ${message.dataTruncated} from ${credentials(message.credentials)} pidfd ${message.pidfd !== null} at ${message.streamOffset}`;
    message[Symbol.dispose]();
    return text;
  };
  const taken = (one: AncillaryData): string => {
    switch (one.kind) {
      case "rights": {
        const fds = one.fds.map((fd) => world.nameOf(fd)).join(",");
        for (const fd of one.fds) fd.close();
        return `rights [${fds}]`;
      }
      case "credentials":
        return `credentials ${credentials(one.credentials)}`;
      case "pidfd":
        one.pidfd.close();
        return "pidfd";
      default:
        return one.kind;
    }
  };

  for (let step = 0; step < steps; step++) {
    const at = random(2);
    const socket = sockets[at]!;
    const fds = Array.from({ length: pick([0, 0, 1, 1, 2, 4]) }, () => pick(names));
    const owned = fds.map((name) => world.files.get(name)!);
    switch (random(16)) {
      case 0:
      case 1:
      case 2:
      case 3: {
        const data = payload();
        observe(`${at} sends "${data}" [${fds}]`, () => String(socket.trySendFds(data, owned)));
        break;
      }
      case 4:
      case 5: {
        const data = payload();
        observe(`${at} sendmsg "${data}" [${fds}]`, () => {
          const ancillary = new SocketAncillary(256, options);
          if (random(3) > 0) ancillary.addFds(owned);
          return String(sendmsg(socket, data, ancillary, options));
        });
        break;
      }
      case 6:
      case 7:
      case 8:
      case 9: {
        const [maxFds, bufferSize, allowTruncated] = [random(4), pick([1, 2, 3, 10, 100]), random(2) === 0];
        observe(`${at} receives ${maxFds} ${bufferSize} ${allowTruncated}`, () => {
          const message = socket.tryRecvFds(maxFds, { bufferSize, allowTruncated });
          return message === null ? "nothing" : shown(message);
        });
        break;
      }
      case 10:
      case 11: {
        const [room, capacity] = [pick([1, 2, 3, 10, 100]), pick([0, 16, 20, 24, 32, 48, 64, 256])];
        observe(`${at} recvmsg ${room} ${capacity}`, () => {
          const buffer = Buffer.alloc(room);
          const ancillary = capacity === 0 ? null : new SocketAncillary(capacity, options);
          const result = recvmsg(socket, buffer, ancillary, options);
          const came = [...(ancillary?.messages() ?? [])].map(taken).join("; ");
          const { bytesRead, ancillaryTruncated, dataTruncated, address } = result;
          // Which name the kernel chose is its own business.
          const name = address?.replace(/^\0[0-9a-f]{5}$/, "chosen by the kernel");
          const text = buffer.toString("latin1", 0, Math.min(bytesRead, room));
          return `${bytesRead} "${text}" ${ancillaryTruncated} ${dataTruncated} ${name} ${came}`;
        });
        break;
      }
      case 12:
        observe(`${at} passes credentials`, () => {
          const on = random(2) === 0;
          socket.setPassCredentials(on);
          return String(on);
        });
        break;
      case 13:
        if (random(2) === 0) break;
        observe(`${at} passes pidfds`, () => {
          const on = random(2) === 0;
          socket.setPassPidfd(on);
          return String(on);
        });
        break;
      case 14:
        if (random(4) > 0) break;
        observe(`${at} shuts down`, () => {
          const how = pick(["read", "write", "both"] as const);
          socket.shutdown(how);
          return how;
        });
        break;
      default:
        if (random(6) > 0) break;
        observe(`${at} closes`, () => {
          socket.close();
          return "closed";
        });
    }
  }
  for (const socket of sockets) socket.close();
  return transcript;
}
