/**
 * A terminal for somebody else: a program that is not ours makes a PTY and sends its master to a supervisor.
 *
 * `node build/examples/pty.js`. Opening /dev/ptmx is easy; `grantpt` and `unlockpt` are ioctls, which Node has not. So Python
 * makes the PTY, sends the master with `socket.send_fds`, and runs a shell on the slave: the shell believes that it sits at a
 * terminal. The supervisor types into the master and reads what the shell prints, until every slave is closed: then Linux
 * answers EIO, which is the end of a PTY, and no failure.
 */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, read, rmSync, write } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isatty } from "node:tty";
import { promisify } from "node:util";
import { UnixListener } from "unix-ancillary";

/** On the slave: the master is sent, and then closed here, or its end would never be seen. */
const PYTHON = `
import os, socket, subprocess, sys, termios, fcntl, struct
master, slave = os.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 111, 0, 0))
with socket.socket(socket.AF_UNIX) as supervisor:
    supervisor.connect(sys.argv[1])
    socket.send_fds(supervisor, [os.ttyname(slave).encode()], [master])
os.close(master)
# A session of its own, whose terminal this is: or ^C would reach nobody.
def terminal():
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
shell = subprocess.Popen(["/bin/sh", "-c", sys.argv[2]], stdin=slave, stdout=slave, stderr=slave, preexec_fn=terminal)
os.close(slave)
sys.exit(shell.wait())
`;
const SHELL = `
tty
stty size
printf 'Your name? '
read -r name
echo "Hello, $name."
cat
echo 'never printed'
`;

/** And no stream of `node:fs`: it would take EIO for a failure. */
const readFd = promisify(read);
const writeFd = promisify(write);

const hasPython = spawnSync("python3", ["-c", "import socket; socket.send_fds"]).status === 0;
if (!hasPython) {
  console.log("SKIPPED: pty: needs python3 (3.9 or later) in the PATH, to make the PTY");
  process.exit(process.env.CI === undefined ? 77 : 1);
}

const folder = mkdtempSync(join(tmpdir(), "unix-ancillary-pty-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const listener = UnixListener.bind(join(folder, "supervisor"), { mode: 0o600 });
const python = spawn("python3", ["-c", PYTHON, listener.address!, SHELL], { stdio: ["ignore", "inherit", "inherit"] });
const exit = once(python, "exit");
// One that fails before it comes is not waited for.
const failed = new AbortController();
exit.then(() => failed.abort(new Error("Python ended and sent no PTY")));

const stream = await listener.accept({ signal: failed.signal });
// Who came, as the kernel has it: the program that was started, and nobody else.
assert.deepEqual(stream.peerCredentials(), { pid: python.pid, uid: process.getuid!(), gid: process.getgid!() });
const message = await stream.recvFdsExact(1);
const master = message.fds[0]!;
stream.close();
listener.close();
const { kind, access } = master.describe();
assert.deepEqual([kind, access, isatty(master.fd)], ["character-device", "read-write", true]);
const slaveName = message.data.toString();
console.log(`received the master of ${slaveName}: a ${kind}, ${access}, from python, pid ${python.pid}`);

let printed = "";
const buffer = Buffer.alloc(4096);
let end = "";
while (end === "") {
  try {
    // Waits in a thread of libuv: the descriptor may block.
    const { bytesRead, buffer: bytes } = await readFd(master.fd, buffer, 0, buffer.length, null);
    const before = printed;
    printed += bytes.toString("utf8", 0, bytesRead);
    const seen = (text: string) => printed.includes(text) && !before.includes(text);
    if (seen("name? ")) await writeFd(master.fd, "supervisor\n");
    if (seen("Hello, supervisor.\r\n")) await writeFd(master.fd, "once more\n");
    // The terminal showed it, and then cat did, which runs and waits: ^C, of which the terminal makes a signal. (Earlier it
    // could meet a shell between vfork and exec, where dash loses it.)
    if (seen("once more\r\nonce more\r\n")) await writeFd(master.fd, "\x03");
    if (bytesRead === 0) end = "no bytes";
  } catch (error) {
    end = (error as NodeJS.ErrnoException).code ?? String(error);
  }
}
master.close();
const [code, signal] = await exit;

// A terminal writes "\r\n", and shows what is typed.
const lines = printed.trimEnd().split("\r\n");
for (const line of lines) console.log(`  | ${line}`);
assert.equal(end, "EIO");
const typed = ["Your name? supervisor", "Hello, supervisor.", "once more", "once more", "^C"];
assert.deepEqual(lines, [slaveName, "33 111", ...typed]);
assert.ok(signal === null && code !== 0, "the shell was interrupted");
console.log(`held: the shell sat at a terminal, answered what was typed, was interrupted by ^C; the end was ${end}`);
