/** `doctor`: what works on this machine. Every line is the result of a check that was run. */

import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { memfd, OwnedFd, UnixDatagram, UnixListener, UnixSeqpacket, UnixStream } from "../index.ts";
import { NativeSystem, readinessBackend } from "../system/native.ts";
import { hostPlatform } from "../system/platform.ts";
import { target } from "../system/target.ts";
import type { Command } from "./arguments.ts";
import { EXIT, usage } from "./failure.ts";
import { json, print, quoted } from "./output.ts";

/** The result of a check. `absent`: this system or kernel does not have the feature, which is not an error. */
interface Finding {
  readonly check: string;
  readonly status: "ok" | "absent" | "failed";
  readonly detail: string;
}

/** A check: it returns what it found, or throws. */
interface Check {
  readonly name: string;
  /** Whether the library needs it. */
  readonly needed: boolean;
  run(): string | Promise<string>;
}

/** Thrown by a check when the system does not have the feature. */
class Absent extends Error {}

export const doctor: Command = {
  name: "doctor",
  synopsis: ["doctor"],
  summary: "check what works on this system and runtime",
  about: `Checks everything that the library uses: it loads the addon, passes descriptors over each type of socket, sets each socket
option and looks at the result. "no" marks a feature that this system does not have; "FAIL" marks a feature that should
work and does not: doctor then exits with 1.`,
  options: {},
  examples: [["unix-ancillary doctor", "prints a report for a bug report"]],
  async run(args) {
    if (args.words.length > 0) throw usage(`doctor expected no argument, got "${args.words[0]}"`);
    let failed = false;
    for (const check of CHECKS) {
      const finding = await runCheck(check);
      failed ||= finding.status === "failed";
      if (args.has("json")) json(finding);
      else {
        const mark = { ok: "ok  ", absent: "no  ", failed: "FAIL" }[finding.status];
        print(`${mark}  ${finding.check.padEnd(22)} ${finding.detail}`);
      }
      // Without an addon nothing else can be checked.
      if (finding.status === "failed" && check === ADDON) break;
    }
    return failed ? EXIT.FAILED : EXIT.DONE;
  },
};

async function runCheck({ name, needed, run }: Check): Promise<Finding> {
  try {
    return { check: name, status: "ok", detail: await run() };
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    // The errors of kernels for unknown options and socket types.
    const unknown = ["ENOTSUP", "EOPNOTSUPP", "ENOPROTOOPT", "EPROTONOSUPPORT"].includes(code ?? "");
    const absent = error instanceof Absent || (!needed && unknown);
    return { check: name, status: absent ? "absent" : "failed", detail: message };
  }
}

/** Runs `body` with a pair of sockets, and closes them. */
async function between<S extends UnixStream | UnixSeqpacket | UnixDatagram>(
  pair: [S, S],
  body: (from: S, to: S) => string | Promise<string>,
): Promise<string> {
  try {
    return await body(...pair);
  } finally {
    for (const socket of pair) socket.close();
  }
}

/** Passes one end of a socket pair, and checks that the received descriptor is CLOEXEC and refers to the same socket. */
function passes(from: UnixStream | UnixSeqpacket | UnixDatagram, to: typeof from): string {
  const [near, far] = UnixStream.pair();
  try {
    from.sendFdsSync("x", [far]);
    const received = to.recvFdsSync(1, { timeout: TRY_MS });
    try {
      const [fd] = received.fds;
      if (fd === undefined) throw new Error("the descriptor did not arrive");
      const { system, constants } = hostPlatform();
      if ((system.fcntl(fd.fd, constants.F_GETFD!, 0) & constants.FD_CLOEXEC!) === 0)
        throw new Error("the descriptor arrived without FD_CLOEXEC");
      const copy = UnixStream.from(fd);
      near.sendFdsSync("y");
      const { data } = copy.recvFdsSync(0, { timeout: TRY_MS });
      copy.close();
      if (data.toString() !== "y") throw new Error("the received descriptor refers to another file");
      return "a descriptor arrived, works, and is CLOEXEC";
    } finally {
      received[Symbol.dispose]();
    }
  } finally {
    near.close();
    far.close();
  }
}

/** Time limit of a check in milliseconds: each one runs within this process. */
const TRY_MS = 5000;

const ADDON: Check = {
  name: "addon",
  needed: true,
  run() {
    const { system } = hostPlatform();
    return `${target()}, ${system instanceof NativeSystem ? system.file : "none"}`;
  },
};

/** A receiver's socket option that adds ancillary data to messages. */
function passing(option: string, turnOn: (socket: UnixStream) => void, look: (received: Received) => string): Check {
  return {
    name: option,
    needed: false,
    run: () =>
      between(UnixStream.pair(), (from, to) => {
        turnOn(to);
        from.sendFdsSync("x");
        const received = to.recvFdsSync(0, { timeout: TRY_MS });
        try {
          return look(received);
        } finally {
          received[Symbol.dispose]();
        }
      }),
  };
}

type Received = ReturnType<UnixStream["recvFdsSync"]>;

/** A socket option that describes the peer. */
function peer(option: string, look: (socket: UnixStream) => string): Check {
  return { name: option, needed: false, run: () => between(UnixStream.pair(), look) };
}

const CHECKS: readonly Check[] = [
  {
    name: "runtime",
    needed: true,
    run: () => `Node ${process.versions.node}, ${process.platform} on ${process.arch}, N-API ${process.versions.napi}`,
  },
  ADDON,
  {
    name: "ABI",
    needed: true,
    // hostPlatform() has compared them.
    run: () => `${hostPlatform().abi.name}: the ABI table agrees with the C compiler's headers`,
  },
  { name: "stream", needed: true, run: () => between(UnixStream.pair(), passes) },
  { name: "datagram", needed: true, run: () => between(UnixDatagram.pair(), passes) },
  { name: "seqpacket", needed: false, run: async () => between(UnixSeqpacket.pair(), passes) },
  {
    name: "readiness",
    needed: true,
    run: () =>
      between(UnixStream.pair(), async (from, to) => {
        const waiting = to.recvFds(0, { signal: AbortSignal.timeout(TRY_MS) });
        setImmediate(() => from.sendFdsSync("x"));
        await waiting;
        return `a waiting receive was woken, by ${readinessBackend()}`;
      }),
  },
  {
    name: "most descriptors",
    needed: true,
    run: () =>
      between(UnixStream.pair(), (from, to) => {
        const most = hostPlatform().abi.maxFdsPerMessage;
        from.sendFdsSync("x", Array(most).fill(from));
        const received = to.recvFdsSync(most, { timeout: TRY_MS });
        const { length } = received.fds;
        received[Symbol.dispose]();
        if (length !== most) throw new Error(`${length} of ${most} descriptors arrived`);
        return `${most} descriptors arrived in one message`;
      }),
  },
  {
    name: "RLIMIT_NOFILE",
    needed: false,
    run() {
      // Node raises its own soft limit to the hard limit; a child process inherits that.
      const [soft, hard] = shell("ulimit -Sn; ulimit -Hn").stdout.trim().split("\n");
      return `${soft} descriptors per process, at most ${hard}; the same number per user in flight (unix(7))`;
    },
  },
  {
    name: "file names",
    needed: true,
    async run() {
      const folder = mkdtempSync(join(tmpdir(), "unix-ancillary-"));
      try {
        const path = join(folder, "s");
        const detail = await listens(path, { mode: 0o600 }, () => (statSync(path).mode & 0o777).toString(8));
        return `bound, connected, removed; mode ${detail}`;
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
  },
  {
    name: "abstract names",
    needed: false,
    async run() {
      if (!hostPlatform().abi.abstractNames) throw new Absent("only Linux has abstract names");
      const name = `unix-ancillary-${randomBytes(8).toString("hex")}`;
      await listens(`\0${name}`, {}, () => "");
      return `bound and connected, as @${name}`;
    },
  },
  passing(
    "SO_PASSCRED",
    (socket) => socket.setPassCredentials(true),
    ({ credentials }) => {
      if (credentials === null) throw new Error("the option is set, but no credentials arrived");
      if (credentials.pid !== process.pid) throw new Error(`expected pid ${process.pid}, got ${credentials.pid}`);
      return `credentials arrived: pid ${credentials.pid}, uid ${credentials.uid}, gid ${credentials.gid}`;
    },
  ),
  passing(
    "SO_PASSPIDFD",
    (socket) => socket.setPassPidfd(true),
    ({ pidfd }) => {
      if (pidfd === null) throw new Error("the option is set, but no pidfd arrived");
      return `a descriptor for the sender's process arrived: ${pidfd.describe().kind}`;
    },
  ),
  passing(
    "SO_PASSSEC",
    (socket) => socket.setPassSecurity(true),
    ({ security }) =>
      security === null
        ? "the option is set; no label arrived: no security module provides one"
        : `a label arrived: ${quoted(security)}`,
  ),
  {
    name: "SO_PASSRIGHTS",
    needed: false,
    run: () =>
      between(UnixStream.pair(), (from, to) => {
        to.setPassRights(false);
        try {
          from.sendFdsSync("x", [from]);
        } catch (error) {
          if ((error as { code?: string }).code === "EPERM")
            return "a receiver can refuse descriptors: the sender gets EPERM";
          throw error;
        }
        throw new Error("the option is off, but a descriptor was accepted");
      }),
  },
  {
    name: "peer credentials",
    needed: false,
    run: () =>
      between(UnixStream.pair(), (socket) => {
        const { pid, uid, gid } = socket.peerCredentials();
        if (uid !== process.geteuid!()) throw new Error(`expected uid ${process.geteuid!()}, got ${uid}`);
        return `pid ${pid ?? "unknown"}, uid ${uid}, gid ${gid}`;
      }),
  },
  {
    name: "SO_PEERPIDFD",
    needed: false,
    run: () =>
      between(UnixStream.pair(), (socket) => {
        const pidfd = socket.peerPidfd();
        const { kind } = pidfd.describe();
        pidfd.close();
        return `a descriptor for the peer's process: ${kind}`;
      }),
  },
  peer("SO_PEERGROUPS", (socket) => `${socket.peerGroups().length} supplementary groups of the peer`),
  peer("SO_PEERSEC", (socket) => `the peer's label: ${quoted(socket.peerSecurity())}`),
  {
    name: "memfd",
    needed: false,
    run() {
      if (process.platform !== "linux") throw new Absent("this system has none");
      const memory = memfd("doctor", { data: "x", seal: true });
      try {
        return `anonymous memory, with the seals ${memory.describe().seals!.join(" ")}`;
      } finally {
        memory.close();
      }
    },
  },
  {
    name: "Unix sockets only",
    needed: true,
    run() {
      // On other sockets the kernel would accept descriptors and drop them.
      const file = OwnedFd.from(2);
      try {
        UnixStream.from(file).close();
      } catch (error) {
        if ((error as { code?: string }).code === "ERR_NOT_UNIX_SOCKET")
          return "other kinds of descriptors are refused";
        throw error;
      } finally {
        file.close();
      }
      return "not checked: standard error is a Unix socket here";
    },
  },
  {
    name: "/bin/sh, for --exec",
    needed: false,
    run() {
      const { stdout, pid } = shell('export P=$$; exec "$@"', "sh", "/bin/sh", "-c", 'echo "$P"');
      if (Number(stdout) !== pid) throw new Error(`expected pid ${pid}, got ${stdout.trim()}`);
      return "the pid of the shell becomes the pid of the command, for LISTEN_PID";
    },
  },
];

/** Runs a script. Not every container has a shell; the library needs none. */
function shell(...script: string[]) {
  const result = spawnSync("/bin/sh", ["-c", ...script], { encoding: "utf8" });
  if ((result.error as { code?: string } | undefined)?.code === "ENOENT")
    throw new Absent("this system has no /bin/sh");
  if (result.error !== undefined) throw result.error;
  return result;
}

/** Binds an address, and passes a byte to it. */
async function listens(path: string, options: { mode?: number }, look: () => string): Promise<string> {
  const listener = UnixListener.bind(path, options);
  try {
    const found = look();
    const client = UnixStream.connectSync(path);
    const server = listener.acceptSync({ timeout: TRY_MS });
    try {
      client.sendFdsSync("x");
      server.recvFdsSync(0, { timeout: TRY_MS });
    } finally {
      client.close();
      server.close();
    }
    return found;
  } finally {
    listener.close();
  }
}
