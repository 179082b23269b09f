/** Commands that `recv --exec` runs: what they get, and how they end. */

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { UnixStream } from "unix-ancillary";
import * as assert from "uvu/assert";
import { closeSync, openSync } from "../descriptors.ts";
import { fileWith, leakChecked, run, socketPath } from "../support.ts";
import { cli, exec, lines, MAIN, passed, start } from "./cli-support.ts";

const test = leakChecked("cli exec");

test("exec: LISTEN_* are set as by systemd, with the command's own pid, and no other descriptor is open in it", async () => {
  // Numbers after a gap: Node sets CLOEXEC on inherited descriptors only up to the first gap.
  const extra = openSync("/dev/null", "r");
  const stdio = ["ignore", "pipe", "pipe", ...Array(30).fill("ignore"), extra, extra];
  const env = {
    ...process.env,
    LISTEN_PID: "1",
    LISTEN_FDS: "9",
    LISTEN_FDNAMES: "wrong",
    LISTEN_PIDFDID: "1",
    UNIX_ANCILLARY_DATA: "wrong",
    UNIX_ANCILLARY_CHANNEL_FD: "3",
    UNIX_ANCILLARY_CHANNEL_SOCKET: "0:1",
  };
  const script =
    '(cd /proc/$$/fd; ls); cat <&3; cat <&4; echo; echo $$; env | grep -E "^LISTEN_|^UNIX_ANCILLARY_(DATA|CHANNEL_.*)="';
  const { code, stdout, stderr } = await passed(
    exec(script),
    [fileWith("a"), fileWith("b"), "--data", "d"],
    socketPath(),
    {
      stdio,
      env,
    },
  );
  closeSync(extra);
  assert.is(code, 0, stderr);
  const output = stdout.trim().split("\n");
  assert.equal(output.slice(0, 6), ["0", "1", "2", "3", "4", "ab"]);
  const [pid, ...variables] = output.slice(6);
  assert.equal(variables.sort(), [
    "LISTEN_FDNAMES=unknown:unknown",
    "LISTEN_FDS=2",
    `LISTEN_PID=${pid}`,
    "UNIX_ANCILLARY_DATA=d",
  ]);
});

test("exec: listenFds of the library takes the descriptors over", async () => {
  const script = `import { listenFds } from ${JSON.stringify(resolve("dist/index.js"))};
    console.log(JSON.stringify(listenFds().map(({ fd, name }) => [name, fd.fd, fd.describe().kind])));`;
  const command = ["--exec", process.execPath, "--input-type=module", "-e", script];
  const named = (...names: string[]) => passed([...names, ...command], [fileWith("a"), "/"]);
  assert.equal(lines((await named("--name", "a:b")).stdout), [
    [
      ["a", 3, "file"],
      ["b", 4, "directory"],
    ],
  ]);
  assert.equal(
    lines((await named("--name", "one")).stdout)[0].map(([name]: string[]) => name),
    ["one", "one"],
  );
  const wrong = await named("--name", "a", "--name", "b", "--name", "c");
  assert.equal(
    lines(wrong.stdout)[0].map(([name]: string[]) => name),
    ["a", "b"],
  );
  assert.match(wrong.stderr, "3 names for 2 descriptors");
});

test("exec: neither stdout nor the passed descriptors become non-blocking for the command", async () => {
  const { stdout } = await passed(exec("cat /proc/self/fdinfo/1; cat /proc/self/fdinfo/3"), [fileWith("a")]);
  const flags = [...stdout.matchAll(/flags:\s+0?(\d+)/g)].map(([, octal]) => Number.parseInt(octal!, 8));
  assert.is(flags.length, 2);
  for (const flag of flags) assert.is(flag & 0o4000, 0);
});

test("exec: the command's exit code, the signal that ended it, and a command that cannot be run", async () => {
  assert.is((await passed(exec("exit 7"), ["/"])).code, 7);
  for (const signal of ["SIGTERM", "SIGKILL", "SIGUSR2"] as const) {
    const ended = await passed(exec(`kill -${signal.slice(3)} $$`), ["/"]);
    assert.is(ended.signal, signal);
  }
  // Of a folder in the PATH that may not be searched, a shell and Node report EACCES: 126.
  const env = { ...process.env, PATH: "/usr/bin:/bin" };
  const missing = await passed(["--exec", "no-such-command"], ["/"], undefined, { env });
  assert.is(missing.code, 127);
  assert.match(missing.stderr, "no-such-command");
  assert.is((await passed(["--fd", "0", "--exec", "no-such-command"], ["/"], undefined, { env })).code, 127);
  assert.is((await passed(["--exec", "/etc/passwd"], ["/"])).code, 126);
});

test("exec: a command that Node refuses to start at once is a command that cannot be run", async () => {
  // 520 names of 255 letters: more than a variable may have on Linux, E2BIG.
  const path = socketPath();
  const name = "n".repeat(255);
  const receiver = start(["recv", path, "--count", "520", "--name", name, "--exec", "true"]);
  await receiver.said("listening");
  const socket = UnixStream.connectSync(path);
  for (const count of [250, 250, 20]) await socket.sendFdsAll("x", Array(count).fill(0));
  const { code, stderr } = await receiver.ended;
  socket.close();
  assert.is(code, 126, stderr);
  // Deno has the words alone.
  assert.match(stderr, /E2BIG|Argument list too long/);
});

test("exec: an empty command is refused before anything is received", async () => {
  for (const way of [["--exec", ""], ["--exec="], ["--fd", "0", "--exec", ""]]) {
    const path = socketPath();
    const { code, stderr } = await cli(["recv", path, "--timeout", "0.1", ...way]);
    assert.is(code, 2);
    assert.match(stderr, "--exec expected a command to run");
  }
});

test("exec: a --json of the command asks for no JSON here", async () => {
  for (const way of [["--exec", "true"], ["--exec=true"]])
    assert.match((await cli(["recv", ...way, "--json"])).stderr, /^unix-ancillary: /);
});

test("exec: signals are forwarded to the command", async () => {
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"] as const) {
    const path = socketPath();
    const script = `process.on("${signal}", () => { console.log("caught"); process.exit(9); });
      console.log("ready");
      setTimeout(() => {}, 20_000);`;
    const receiver = start(["recv", path, "--exec", process.execPath, "-e", script]);
    assert.is((await cli(["send", "--wait", path, "/"])).code, 0);
    await receiver.said("ready");
    receiver.child.kill(signal);
    const { code, stdout } = await receiver.ended;
    assert.match(stdout, "caught", signal);
    assert.is(code, 9, signal);
  }
});

/** Runs `recv` in a terminal, presses ^C when its command prints READY, and prints the terminal's output and the exit code. */
const TERMINAL = `
import os, pty, subprocess, sys
node, main, path, script = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(node, [node, main, "recv", path, "--exec", node, "-e", script])
shown = b""
def until(text):
    global shown
    while text not in shown:
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            piece = b""
        if piece == b"":
            return
        shown += piece
until(b"listening")
subprocess.run([node, main, "send", path, "/"], stdout=subprocess.DEVNULL, check=True)
until(b"READY")
os.write(terminal, b"\\x03")
until(b"never said")
print(shown.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

test.python("exec: ^C at a terminal reaches the command once, not a second time through recv", async () => {
  // After the first interrupt it waits a while for a second one, which must not arrive.
  const script = `let interrupts = 0;
    process.on("SIGINT", () => {
      if (++interrupts === 1) setTimeout(() => { console.log("interrupts: " + interrupts); process.exit(5); }, 300);
    });
    console.log("READY");
    setTimeout(() => {}, 20_000);`;
  const { stdout, stderr } = await run("python3", ["-c", TERMINAL, process.execPath, MAIN, socketPath(), script]);
  assert.match(stdout, "interrupts: 1", stderr);
  assert.match(stdout, /\s5\n$/);
});

test("exec: --fd sets the numbers, without LISTEN_*", async () => {
  const counted = await passed(["--fd", "0", "--exec", "wc", "-l"], [fileWith("1\n2\n3\n")]);
  assert.is(counted.stdout.trim(), "3");
  const script = "cat <&7; cat <&5; (cd /proc/$$/fd; ls); env | grep ^LISTEN_ || true";
  const both = await passed(["--fd", "7", "--fd", "5", ...exec(script)], [fileWith("a"), fileWith("b")]);
  assert.is(both.stdout.trim(), "ab0\n1\n2\n5\n7");
  const log = fileWith("");
  const written = await passed(["--fd", "1", "--exec", "echo", "written"], ["--open", "append", log]);
  assert.is(written.code, 0);
  assert.is(readFileSync(log, "utf8"), "written\n");
});

test("exec: with too few descriptors the command is not run; surplus ones are closed and reported", async () => {
  for (const args of [
    ["--count", "2"],
    ["--fd", "0", "--fd", "5"],
  ]) {
    const { code, stdout, stderr } = await passed([...args, ...exec("echo ran")], ["/"]);
    assert.is(code, 3);
    assert.is(stdout, "");
    assert.match(stderr, "expected 2 descriptors, got 1");
  }
  const none = await passed(exec("echo ran"), ["--data", "bytes alone"]);
  assert.is(none.code, 3);
  const more = await passed(["--fd", "5", ...exec("(cd /proc/$$/fd; ls)")], ["/", "/"]);
  assert.is(more.stdout.trim(), "0\n1\n2\n5");
  assert.match(more.stderr, "1 descriptor beyond the first 1 closed");
});

test("exec: bytes that are not text are not dropped silently", async () => {
  const path = socketPath();
  const receiver = start(["recv", path, "--count", "1", ...exec('echo "<$UNIX_ANCILLARY_DATA>"')]);
  await receiver.said("listening");
  const peer = UnixStream.connectSync(path);
  peer.sendFdsSync(Buffer.from([0xff, 0xfe]), [peer]);
  peer.close();
  const { stdout, stderr } = await receiver.ended;
  assert.is(stdout, "<>\n");
  assert.match(stderr, "the 2 bytes received are not text");
});

test("exec: what is received beyond the variable is counted, and its memory is given back", async () => {
  const path = socketPath();
  const receiver = start(["recv", path, ...exec("true")]);
  await receiver.said("listening");
  const peer = UnixStream.connectSync(path);
  const block = Buffer.alloc(65536, "A");
  const resident = () =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${receiver.child.pid}/status`, "utf8"))![1]) / 1024;
  await peer.sendFdsAll(block, [2]);
  for (let i = 0; i < 1600; i++) await peer.sendFdsAll(block);
  // A view of each receive would keep 100 MiB.
  const before = resident();
  for (let i = 0; i < 1600; i++) await peer.sendFdsAll(block);
  const grown = resident() - before;
  peer.close();
  const { stderr } = await receiver.ended;
  assert.match(stderr, `the ${3201 * 65536} bytes received are not text of at most 65536 bytes`);
  assert.ok(grown < 50, `${grown} MiB`);
});

test.run();
