/** `doctor`: what works here. Every line is the outcome of trying it. */

import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OwnedFd, UnixDatagram, UnixListener, UnixSeqpacket, UnixStream } from "../index.ts";
import { errnoError } from "../system/errno.ts";
import { NativeSystem, readinessBackend } from "../system/native.ts";
import { hostPlatform } from "../system/platform.ts";
import { setFlag } from "../system/socket-type.ts";
import { target } from "../system/target.ts";
import type { Command } from "./arguments.ts";
import { EXIT, usage } from "./failure.ts";
import { json, print, quoted } from "./output.ts";

/** What came of a try. `absent`: this system, or this kernel, does not have it, and nothing is wrong. */
interface Finding {
  readonly check: string;
  readonly status: "ok" | "absent" | "failed";
  readonly detail: string;
}

/** A try: what it found out, or what it throws. */
interface Check {
  readonly name: string;
  /** Whether the library is of no use without it. */
  readonly needed: boolean;
  run(): string | Promise<string>;
}

/** Thrown by a try that found out that there is no such thing. */
class Absent extends Error {}

export const doctor: Command = {
  name: "doctor",
  synopsis: ["doctor"],
  summary: "try what this system and runtime can do, and say what is missing",
  about: `Tries each thing that the library builds on: it loads the addon, passes descriptors over each type of socket, turns on each
option and looks at what comes. "no" is what this system does not have; "FAIL" is what should work and does not, and makes
the exit code 1.`,
  options: {},
  examples: [["unix-ancillary doctor", "to put into a bug report"]],
  async run(given) {
    if (given.words.length > 0) throw usage(`doctor expected nothing more, got "${given.words[0]}"`);
    let failed = false;
    for (const check of CHECKS) {
      const finding = await tried(check);
      failed ||= finding.status === "failed";
      if (given.has("json")) json(finding);
      else {
        const mark = { ok: "ok  ", absent: "no  ", failed: "FAIL" }[finding.status];
        print(`${mark}  ${finding.check.padEnd(22)} ${finding.detail}`);
      }
      // Without an addon nothing else can be tried.
      if (finding.status === "failed" && check === ADDON) break;
    }
    return failed ? EXIT.FAILED : EXIT.DONE;
  },
};

async function tried({ name, needed, run }: Check): Promise<Finding> {
  try {
    return { check: name, status: "ok", detail: await run() };
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    // What kernels say to an option or a type that they do not know.
    const unknown = ["ENOTSUP", "EOPNOTSUPP", "ENOPROTOOPT", "EPROTONOSUPPORT"].includes(code ?? "");
    const absent = error instanceof Absent || (!needed && unknown);
    return { check: name, status: absent ? "absent" : "failed", detail: message };
  }
}

/** Runs something with two sockets. */
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

/** Passes a pipe's end and writes through it: what arrives is what was sent, and CLOEXEC. */
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
      if (data.toString() !== "y") throw new Error("the descriptor that arrived is another file");
      return "a descriptor was passed, and works; CLOEXEC";
    } finally {
      received[Symbol.dispose]();
    }
  } finally {
    near.close();
    far.close();
  }
}

/** How long a try may take, in milliseconds: all of them are within this process. */
const TRY_MS = 5000;

const ADDON: Check = {
  name: "addon",
  needed: true,
  run() {
    const { system } = hostPlatform();
    return `${target()}, ${system instanceof NativeSystem ? system.file : "none"}`;
  },
};

/** An option of a receiver, and what it makes messages bring. */
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

/** An option that tells about the peer. */
function peer(option: string, look: (bytes: Buffer) => string): Check {
  return {
    name: option,
    needed: false,
    run: () =>
      between(UnixStream.pair(), (socket) => {
        const { system, constants } = hostPlatform();
        const number = constants[option] ?? -1;
        if (number === -1) throw new Absent(`this system has no ${option}`);
        const bytes = Buffer.alloc(4096);
        const length = system.getsockopt(socket.fd, constants.SOL_SOCKET!, number, bytes);
        if (length < 0) throw errnoError(length, "getsockopt");
        return look(bytes.subarray(0, length));
      }),
  };
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
    // Composing the platform compared them.
    run: () => `${hostPlatform().abi.name}: the table and the C compiler's headers say the same`,
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
        return `a receive that waited was woken, by ${readinessBackend()}`;
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
        return `${most} in one message were sent, and arrived`;
      }),
  },
  {
    name: "RLIMIT_NOFILE",
    needed: false,
    run() {
      // Node raises its own to the hard limit; a command that is run gets that one.
      const { stdout } = spawnSync("/bin/sh", ["-c", "ulimit -Sn; ulimit -Hn"], { encoding: "utf8" });
      const [soft, hard] = stdout.trim().split("\n");
      return `${soft} descriptors a process, ${hard} at most; as many of a user's may be in flight (unix(7))`;
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
      if (hostPlatform().abi.os !== "linux") throw new Absent("only Linux has them");
      const name = `unix-ancillary-${randomBytes(8).toString("hex")}`;
      await listens(`\0${name}`, {}, () => "");
      return `@${name} was bound and connected to`;
    },
  },
  passing(
    "SO_PASSCRED",
    (socket) => socket.setPassCredentials(true),
    ({ credentials }) => {
      if (credentials === null) throw new Error("it was turned on, and no credentials came");
      if (credentials.pid !== process.pid) throw new Error(`pid ${credentials.pid} came, expected ${process.pid}`);
      return `credentials came: pid ${credentials.pid}, uid ${credentials.uid}, gid ${credentials.gid}`;
    },
  ),
  passing(
    "SO_PASSPIDFD",
    (socket) => socket.setPassPidfd(true),
    ({ pidfd }) => {
      if (pidfd === null) throw new Error("it was turned on, and no pidfd came");
      return `a descriptor of the sender's process came: ${pidfd.describe().kind}`;
    },
  ),
  passing(
    "SO_PASSSEC",
    (socket) => socket.setPassSecurity(true),
    ({ security }) =>
      security === null
        ? "turned on; no label came: no security module gives any"
        : `a label came: ${quoted(security)}`,
  ),
  {
    name: "SO_PASSRIGHTS",
    needed: false,
    run: () =>
      between(UnixStream.pair(), (from, to) => {
        setFlag(hostPlatform(), to.fd, "SO_PASSRIGHTS", false);
        try {
          from.sendFdsSync("x", [from]);
        } catch (error) {
          if ((error as { code?: string }).code === "EPERM")
            return "a receiver can refuse descriptors: EPERM to the sender";
          throw error;
        }
        throw new Error("it was turned off, and a descriptor was accepted");
      }),
  },
  {
    name: "peer credentials",
    needed: false,
    run: () =>
      between(UnixStream.pair(), (socket) => {
        const { pid, uid, gid } = socket.peerCredentials();
        if (uid !== process.geteuid!()) throw new Error(`uid ${uid} was told, expected ${process.geteuid!()}`);
        return `pid ${pid ?? "not told"}, uid ${uid}, gid ${gid}`;
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
        return `a descriptor of the peer's process: ${kind}`;
      }),
  },
  peer("SO_PEERGROUPS", (bytes) => `${bytes.length / 4} supplementary groups of the peer`),
  peer("SO_PEERSEC", (bytes) => `the peer's label: ${quoted(bytes.toString().replace(/\0$/, ""))}`),
  {
    name: "Unix sockets only",
    needed: true,
    run() {
      // What it is there for: on anything else the kernel takes descriptors and drops them.
      const file = OwnedFd.from(2);
      try {
        UnixStream.from(file).close();
      } catch (error) {
        if ((error as { code?: string }).code === "ERR_NOT_UNIX_SOCKET") return "another kind of descriptor is refused";
        throw error;
      } finally {
        file.close();
      }
      return "standard error is a Unix socket here: not tried";
    },
  },
  {
    name: "/bin/sh, for --exec",
    needed: false,
    run() {
      const { stdout, pid, error } = spawnSync(
        "/bin/sh",
        ["-c", 'export P=$$; exec "$@"', "sh", "/bin/sh", "-c", 'echo "$P"'],
        {
          encoding: "utf8",
        },
      );
      if (error !== undefined) throw error;
      if (Number(stdout) !== pid) throw new Error(`pid ${stdout.trim()} was said, expected ${pid}`);
      return "a command finds its own pid in LISTEN_PID";
    },
  },
];

/** Binds a name, and passes a byte to it. */
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
