/**
 * A terminal for another program: Python opens a PTY and sends its master to a supervisor.
 *
 * `node build/examples/pty.js`. Node can open /dev/ptmx, but it has no ioctls for `grantpt` and `unlockpt`. So Python opens the PTY,
 * sends the master with `socket.send_fds`, and runs a shell on the slave, as on a real terminal. The supervisor types into the
 * master and reads what the shell prints. When every slave is closed, Linux returns EIO: this is the end of a PTY, not an error.
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

/** Python sends the master and closes its own copy: with a copy open, the end of the PTY would never be seen. */
const PYTHON = `
import os, socket, subprocess, sys, termios, fcntl, struct
master, slave = os.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 111, 0, 0))
with socket.socket(socket.AF_UNIX) as supervisor:
    supervisor.connect(sys.argv[1])
    socket.send_fds(supervisor, [os.ttyname(slave).encode()], [master])
os.close(master)
# A session of its own with this controlling terminal, so that ^C reaches the shell.
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

/** Not a stream of `node:fs`, which would report EIO as a failure. */
const readFd = promisify(read);
const writeFd = promisify(write);

const hasPython = spawnSync("python3", ["-c", "import socket; socket.send_fds"]).status === 0;
if (!hasPython) {
  console.log("SKIPPED: pty: needs python3 (3.9 or later) in the PATH, to open the PTY");
  process.exit(process.env.CI === undefined ? 77 : 1);
}

const folder = mkdtempSync(join(tmpdir(), "unix-ancillary-pty-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const listener = UnixListener.bind(join(folder, "supervisor"), { mode: 0o600 });
const python = spawn("python3", ["-c", PYTHON, listener.address!, SHELL], { stdio: ["ignore", "inherit", "inherit"] });
const exit = once(python, "exit");
// If Python fails before it connects, stop waiting.
const failed = new AbortController();
exit.then(() => failed.abort(new Error("Python ended without sending a PTY")));

const stream = await listener.accept({ signal: failed.signal });
// The kernel confirms that the peer is the program started above.
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
    // This read waits in a thread of libuv: the descriptor may block.
    const { bytesRead, buffer: bytes } = await readFd(master.fd, buffer, 0, buffer.length, null);
    const before = printed;
    printed += bytes.toString("utf8", 0, bytesRead);
    const seen = (text: string) => printed.includes(text) && !before.includes(text);
    if (seen("name? ")) await writeFd(master.fd, "supervisor\n");
    if (seen("Hello, supervisor.\r\n")) await writeFd(master.fd, "once more\n");
    // The terminal has echoed the line, and cat has repeated it, so cat runs and waits: now ^C, which the terminal turns into a
    // signal. (Any earlier it could reach the shell between vfork and exec, where dash loses it.)
    if (seen("once more\r\nonce more\r\n")) await writeFd(master.fd, "\x03");
    if (bytesRead === 0) end = "no bytes";
  } catch (error) {
    end = (error as NodeJS.ErrnoException).code ?? String(error);
  }
}
master.close();
const [code, signal] = await exit;

// A terminal writes "\r\n", and echoes what is typed.
const lines = printed.trimEnd().split("\r\n");
for (const line of lines) console.log(`  | ${line}`);
assert.equal(end, "EIO");
const typed = ["Your name? supervisor", "Hello, supervisor.", "once more", "once more", "^C"];
assert.deepEqual(lines, [slaveName, "33 111", ...typed]);
assert.ok(signal === null && code !== 0, "the shell was interrupted");
console.log(`held: the shell ran on a terminal, answered input, and was interrupted by ^C; the end was ${end}`);
