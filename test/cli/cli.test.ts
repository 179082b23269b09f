/** The commands `send` and `recv`, each run as a process. */

import { existsSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { OwnedFd, UnixDatagram, UnixListener, UnixStream } from "unix-ancillary";
import * as assert from "uvu/assert";
import { openSync } from "../descriptors.ts";
import { fileWith, leakChecked, run, socketPath } from "../support.ts";
import { cli, lines, MAIN, passed, start } from "./cli-support.ts";

const test = leakChecked("cli");

test("recv in one terminal, send in the other", async () => {
  const path = socketPath();
  const file = fileWith("hello");
  const received = await passed([], [file, "/", "--data", "two files"], path);
  assert.is(received.code, 0, received.stderr);
  assert.match(received.stdout, /^2 descriptors, 9 bytes from pid \d+, uid \d+/);
  assert.match(received.stdout, `[0] file, read, 5 bytes, ${file}`);
  assert.match(received.stdout, "[1] directory, read, /");
  assert.match(received.stdout, 'data "two files"');
  assert.not(existsSync(path), "the socket's file was left behind");
});

test("send on the socket that is its standard output: no byte of the report is in it", async () => {
  const file = fileWith("hello");
  for (const [args, both] of [
    [["send", "fd:1", file], false],
    [["send", "fd:1", file], true],
    [["send", "--json", "fd:1", file], false],
    [["send", "--json", "fd:2", file], true],
    [["send", "-q", "fd:1", file], false],
  ] as const) {
    const [ours, theirs] = UnixStream.pair();
    const { ended } = start(args, { stdio: ["ignore", theirs.fd, both ? theirs.fd : "pipe"] });
    const { code, stderr } = await ended;
    theirs.close();
    assert.is(code, 0, stderr);
    if (!both) assert.is(/sent/.test(stderr), !args.includes("-q" as never), stderr);
    const message = await ours.recvFdsExact(1);
    assert.equal([...message.data], [0], String(args));
    message[Symbol.dispose]();
    assert.ok((await ours.recvFds(0)).eof);
    ours.close();
  }
});

test("an error does not go into the socket either, if that is standard error too; recv prints no message into it", async () => {
  const [ours, theirs] = UnixStream.pair();
  const failed = start(["send", "fd:1", "/no/such/file"], { stdio: ["ignore", theirs.fd, theirs.fd] });
  assert.is((await failed.ended).code, 1);
  const receiver = start(["recv", "--count", "1", "fd:0"], { stdio: [theirs.fd, theirs.fd, "pipe"] });
  theirs.close();
  await ours.sendFdsAll("x", [0]);
  const { code, stderr } = await receiver.ended;
  assert.is(code, 0, stderr);
  assert.match(stderr, "1 descriptor, 1 byte");
  assert.ok((await ours.recvFds(0)).eof);
  ours.close();
});

test("quiet: nothing but errors and warnings, for both ends", async () => {
  const path = socketPath();
  const receiver = start(["recv", "-q", path]);
  const sender = await cli(["send", "--wait", "--quiet", path, "/"]);
  assert.equal([sender.code, sender.stdout, sender.stderr], [0, "", ""]);
  const received = await receiver.ended;
  assert.equal([received.code, received.stdout, received.stderr], [0, "", ""]);
  const failed = await cli(["send", "-q", path, "/"]);
  assert.is(failed.code, 1);
  assert.match(failed.stderr, "no socket is bound there");
});

test("json: every line is one object, for the sender too", async () => {
  const path = socketPath();
  const file = fileWith("hello");
  const receiver = start(["recv", path, "--json", "--credentials"]);
  const sender = start(["send", "--wait", "--json", path, file, "--data", "\u{1f600}"]);
  const sent = await sender.ended;
  const [listening, message, ...more] = lines((await receiver.ended).stdout);
  assert.equal(more, []);
  assert.equal(listening, { event: "listening", address: path });
  assert.is(message.event, "message");
  assert.is(message.credentials.pid, sender.child.pid);
  assert.is(message.from.pid, sender.child.pid);
  assert.is(message.data, "\u{1f600}");
  assert.equal(message.fds, [{ kind: "file", access: "read", nonblocking: false, size: 5, path: file }]);
  assert.equal(lines(sent.stdout), [{ event: "sent", to: path, fds: message.fds, bytes: 4 }]);
});

test("count: recv ends at the count, although the sender continues", async () => {
  const path = socketPath();
  const receiver = start(["recv", path, "--count", "2", "--json"]);
  await receiver.said("listening");
  const peer = UnixStream.connectSync(path);
  peer.sendFdsSync("a", [peer]);
  peer.sendFdsSync("b", [peer]);
  const { code, stdout } = await receiver.ended;
  peer.close();
  assert.is(code, 0);
  assert.is(lines(stdout).flatMap(({ fds }) => fds ?? []).length, 2);
});

test("max-fds: the rest is closed and counted", async () => {
  const { code, stdout } = await passed(["--max-fds", "1", "--json"], ["/", "/", "/"]);
  assert.is(code, 0);
  const { fds, surplus } = lines(stdout)[1];
  assert.is(fds.length, 1);
  assert.is(surplus, 2);
});

test("every byte comes, however many", async () => {
  const data = "0123456789".repeat(12_000);
  const { stdout } = await passed(["--json"], ["/", "--data", data]);
  const messages = lines(stdout).filter(({ event }) => event === "message");
  assert.is(messages.map((message) => message.data).join(""), data);
  assert.is(messages.flatMap(({ fds }) => fds).length, 1);
});

/** C0 and C1 controls, bidirectional marks, separators of lines and of words, a tag: what a terminal could take for more than text. */
const CONTROLS = "\u0001\u001b[31m\u007f\u0085\u009b2J\u00ad\u061c\u200b\u200e\u2028\u2029\u202e\u2066\ufeff\u{e0041}";

/** Nothing but printable characters and line breaks. */
function harmless(output: string): void {
  const [found] = /(?!\n)[\p{C}\p{Zl}\p{Zp}]/u.exec(output) ?? [];
  assert.is(found && found.codePointAt(0)!.toString(16), undefined);
}

for (const format of [[], ["--json"]]) {
  test(`bytes from a peer cannot control the terminal ${format.join()}`, async () => {
    const { stdout, stderr } = await passed(format, ["--data", CONTROLS]);
    harmless(stdout + stderr);
    if (format.length > 0) assert.is(lines(stdout).at(-1).data, CONTROLS);
    else assert.match(stdout, "\\u0001\\u001b[31m\\u007f\\u0085\\u009b2J");
  });

  test(`names and paths from a peer cannot control the terminal ${format.join()}`, async () => {
    const path = socketPath();
    const file = `${fileWith("")}${CONTROLS}\nforged`;
    writeFileSync(file, "");
    const own = `${socketPath()}${CONTROLS.slice(0, 8)}`;
    const receiver = start(["recv", "--datagram", path, ...format]);
    await receiver.said("listening");
    const peer = UnixDatagram.bind(own);
    const opened = OwnedFd.fromRaw(openSync(file, "r"));
    await peer.sendFdsTo("x", [opened], path);
    opened.close();
    peer.close();
    const { stdout, stderr } = await receiver.ended;
    harmless(stdout + stderr);
    assert.not.match(stdout, /^forged/m);
    const [message] = format.length > 0 ? lines(stdout).slice(-1) : [null];
    if (message !== null) assert.equal([message.address, message.fds[0].path], [own, file]);
  });

  test(`file names on the command line cannot control the terminal ${format.join()}`, async () => {
    const { stdout, stderr } = await cli(["send", socketPath(), `/no/such/${CONTROLS}`, ...format]);
    harmless(stdout + stderr);
    assert.match(stderr, "\\u009b2J");
  });
}

for (const type of ["--datagram", "--seqpacket"]) {
  test(`${type.slice(2)}: with credentials, and without`, async () => {
    const path = socketPath();
    for (const options of [[], ["--credentials"]]) {
      const receiver = start(["recv", path, type, "--json", ...options]);
      const sender = start(["send", "--wait", type, ...options, path, "/", "--data", "x"]);
      assert.is((await sender.ended).code, 0);
      const { code, stdout } = await receiver.ended;
      assert.is(code, 0);
      const message = lines(stdout)[1];
      assert.is(message.fds.length, 1);
      assert.is(message.credentials?.pid, options.length === 0 ? undefined : sender.child.pid);
      assert.not(existsSync(path));
    }
  });
}

test("a large message with credentials: the rest follows", async () => {
  const data = "x".repeat(120_000);
  const { stdout } = await passed(["--json", "--credentials"], ["/", "--credentials", "--data", data]);
  const messages = lines(stdout).filter(({ event }) => event === "message");
  assert.is(messages.map((message) => message.data).join(""), data);
  assert.is(messages.flatMap(({ fds }) => fds).length, 1);
});

test("abstract names are written with @", async () => {
  const name = `@unix-ancillary-test-${process.pid}`;
  const { code, stdout } = await passed(["--json"], ["/"], name);
  assert.is(code, 0);
  assert.is(lines(stdout)[0].address, name);
});

test("abstract names padded with NULs, as systemd and other programs bind them, are written with escapes", async () => {
  const name = `unix-ancillary-test-${process.pid}`;
  const listener = UnixListener.bind(`\0${name}\\\0\0`);
  const sent = await cli(["send", `@${name}\\\\\\0\\x00`, "/", "--data", "x"]);
  assert.is(sent.code, 0, sent.stderr);
  const stream = listener.acceptSync();
  const message = await stream.recvFds(1);
  assert.is(String(message.data), "x");
  message[Symbol.dispose]();
  stream.close();
  listener.close();
  // What is printed names the same socket.
  const again = await passed(["--json"], ["/"], `@${name}\\0\\0`);
  assert.is(lines(again.stdout)[0].address, `@${name}\\0\\0`);
  const wrong = await cli(["send", "@a\\q", "/"]);
  assert.is(wrong.code, 2);
  assert.match(wrong.stderr, 'expected an escape as in C, got "\\q"');
});

test("the other way round: the sender listens", async () => {
  const path = socketPath();
  const sender = start(["send", "--listen", path, "/"]);
  const received = await cli(["recv", "--connect", "--wait", "--json", path]);
  assert.is(received.code, 0, received.stderr);
  assert.is(lines(received.stdout)[0].fds.length, 1);
  assert.is((await sender.ended).code, 0);
  assert.not(existsSync(path));
});

test("fd:N: what the shell opened, and standard input", async () => {
  const log = fileWith("");
  const path = socketPath();
  const receiver = start(["recv", path, "--json"]);
  const script = `echo piped | ${process.execPath} ${MAIN} send --wait ${path} - fd:5 fd:5 5>>${log}`;
  assert.is((await run("sh", ["-c", script])).code, 0);
  const { fds } = lines((await receiver.ended).stdout)[1];
  assert.equal(
    fds.map(({ kind, access }: { kind: string; access: string }) => [kind, access]),
    [
      ["pipe", "read"],
      ["file", "write"],
      ["file", "write"],
    ],
  );
});

test("fd:N: descriptors of Node itself are refused", async () => {
  for (let fd = 3; fd < 9; fd++) {
    const { code, signal, stderr } = await cli(
      fd % 2 === 0 ? ["recv", `fd:${fd}`] : ["send", socketPath(), `fd:${fd}`],
    );
    assert.is(signal, null, stderr);
    assert.is(code, 1, stderr);
    assert.match(stderr, /belongs to Node|is not open|expected a Unix socket/);
  }
});

test("fd:N as the socket: connected, listening, and not a Unix socket", async () => {
  const [near, far] = UnixStream.pair();
  const receiver = start(["recv", "fd:3", "--json"], { stdio: ["ignore", "pipe", "pipe", far.fd] });
  far.close();
  near.sendFdsSync("hi", [near]);
  near.close();
  assert.is(lines((await receiver.ended).stdout)[0].data, "hi");

  const [ours, theirs] = UnixStream.pair();
  const sender = start(["send", "fd:3", "/"], { stdio: ["ignore", "pipe", "pipe", theirs.fd] });
  theirs.close();
  const message = await ours.recvFds(2);
  assert.is(message.fds[0]?.describe().kind, "directory");
  message[Symbol.dispose]();
  assert.is((await sender.ended).code, 0);
  ours.close();

  const listener = UnixListener.bind(socketPath());
  const accepting = start(["recv", "fd:3", "--json"], { stdio: ["ignore", "pipe", "pipe", listener.fd] });
  const sent = await cli(["send", listener.address!, "/"]);
  assert.is(sent.code, 0, sent.stderr);
  assert.is(lines((await accepting.ended).stdout)[1].fds.length, 1);
  listener.close();

  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
  const refused = start(["recv", "fd:3"], { stdio: ["ignore", "pipe", "pipe", fd] });
  const { code, stderr } = await refused.ended;
  await new Promise((resolve) => server.close(resolve));
  assert.is(code, 1);
  assert.match(stderr, "expected a Unix socket, got a socket of family inet");
});

test("a connection that sends nothing does not end recv", async () => {
  const path = socketPath();
  const receiver = start(["recv", path]);
  await receiver.said("listening");
  // The second one connects, too, as it would replace the path of a dead socket.
  const second = await cli(["recv", path]);
  assert.is(second.code, 1);
  assert.match(second.stderr, "EADDRINUSE");
  assert.match(second.stderr, `rm ${path}`);
  UnixStream.connectSync(path).close();
  assert.is((await cli(["send", path, "/"])).code, 0);
  assert.match((await receiver.ended).stdout, "1 descriptor");
});

test("stopped while it waits: the socket's file is removed, and the signal ends the command", async () => {
  const cases = [
    ["SIGINT", "recv"],
    ["SIGTERM", "recv", "--datagram"],
    ["SIGHUP", "listen"],
    ["SIGTERM", "send", "--listen"],
  ] as const;
  for (const [signal, ...command] of cases) {
    const path = socketPath();
    const waiting = start([...command, path, ...(command[0] === "send" ? ["/"] : [])]);
    await waiting.said("listening");
    assert.ok(existsSync(path));
    waiting.child.kill(signal);
    assert.is((await waiting.ended).signal, signal);
    assert.not(existsSync(path), `${command.join(" ")} left its file behind`);
  }
});

test("timeout: exit code 4, in every kind of wait", async () => {
  const path = socketPath();
  assert.is((await cli(["recv", path, "--timeout", "0.1"])).code, 4);
  assert.not(existsSync(path));
  assert.is((await cli(["recv", path, "--datagram", "--timeout", "0.1"])).code, 4);
  assert.is((await cli(["send", path, "/", "--wait", "--timeout", "0.1"])).code, 4);
  const { code, stderr } = await cli(["send", path, "/", "--wait", "--datagram", "--timeout", "0.1", "--json"]);
  assert.is(code, 4);
  assert.is(lines(stderr)[0].code, "ETIMEDOUT");
  assert.is((await cli(["send", path, "/", "--listen", "--timeout", "0.1"])).code, 4);
  // A sender that connects and sends nothing.
  const receiver = start(["recv", path, "--timeout", "0.5"]);
  await receiver.said("listening");
  const peer = UnixStream.connectSync(path);
  assert.is((await receiver.ended).code, 4);
  peer.close();
});

test("path-of-another-file: the hint does not propose to remove it", async () => {
  const link = socketPath();
  symlinkSync("/etc/passwd", link);
  for (const path of [fileWith("content"), "/tmp", "/etc/passwd", link]) {
    for (const type of [[], ["--datagram"]]) {
      const { code, stderr } = await cli(["recv", ...type, path]);
      assert.is(code, 1);
      assert.match(stderr, "EADDRINUSE");
      assert.match(stderr, "not a socket");
      assert.not.match(stderr, "rm ");
    }
  }
  const { stderr } = await cli(["send", fileWith("content"), "/"]);
  assert.match(stderr, /a regular file, not a socket.*\n.*give the path of the receiver's socket/);
});

test("hint: a proposed command is quoted for the shell, and is one that helps", async () => {
  const path = `${socketPath()} it's`;
  const receiver = start(["recv", path]);
  await receiver.said("listening");
  assert.match((await cli(["recv", path])).stderr, `rm '${path.replace("'", "'\\''")}'`);
  receiver.child.kill();
  await receiver.ended;
  const folder = socketPath();
  const { stderr } = await cli(["recv", `${folder}/socket`]);
  assert.match(stderr, `create the folder first: mkdir -p ${folder}`);
  assert.not.match(stderr, "--wait");
  // The name stands once, before the message.
  assert.is(stderr.split(`${folder}/socket`).length, 2, stderr);
});

test("no-receiver: the hint names the command to start; the file of a dead socket is replaced", async () => {
  const path = socketPath();
  const absent = await cli(["send", path, "/"]);
  assert.is(absent.code, 1);
  assert.match(absent.stderr, "ENOENT");
  assert.match(absent.stderr, `unix-ancillary recv ${path}`);
  assert.match((await cli(["recv", "--connect", path])).stderr, `unix-ancillary send --listen ${path}`);
  const killed = start(["recv", path]);
  await killed.said("listening");
  killed.child.kill("SIGKILL");
  await killed.ended;
  const gone = await cli(["send", "--json", path, "/"]);
  assert.is(gone.code, 1);
  const [error] = lines(gone.stderr);
  assert.is(error.code, "ECONNREFUSED");
  assert.match(error.hint, "recv");
  assert.is((await passed([], ["/"], path)).code, 0);
});

test("another type of socket is listening there", async () => {
  const path = socketPath();
  const receiver = start(["recv", path]);
  await receiver.said("listening");
  const { code, stderr } = await cli(["send", "--seqpacket", path, "/"]);
  assert.is(code, 1);
  assert.match(stderr, "use the same of --datagram and --seqpacket at both ends");
  receiver.child.kill("SIGKILL");
  await receiver.ended;
});

test("the advice to start the other end names the type of socket", async () => {
  const path = socketPath();
  for (const [args, advice] of [
    [["send", path, "/"], `recv ${path}`],
    [["send", "--datagram", path, "/"], `recv --datagram ${path}`],
    [["send", "--seqpacket", path, "/"], `recv --seqpacket ${path}`],
    [["recv", "--seqpacket", "--connect", path], `send --listen --seqpacket ${path}`],
  ] as const)
    assert.match((await cli(args)).stderr, `start "unix-ancillary ${advice}"`);
});

test("mode: 600 by default", async () => {
  for (const [options, mode] of [
    [[], 0o600],
    [["--mode", "666"], 0o666],
    [["--datagram"], 0o600],
    [["--datagram", "--mode", "0660"], 0o660],
  ] as const) {
    const path = socketPath();
    const receiver = start(["recv", path, ...options]);
    await receiver.said("listening");
    assert.is(statSync(path).mode & 0o777, mode);
    receiver.child.kill("SIGTERM");
    await receiver.ended;
  }
});

test("open: files created, truncated and refused", async () => {
  const access = async (how: string, file: string) => {
    const { stdout } = await passed(["--json"], ["--open", how, file]);
    return lines(stdout)[1].fds[0].access;
  };
  const file = fileWith("content");
  assert.is(await access("read-write", file), "read-write");
  assert.is(await access("append", file), "write");
  assert.is(readFileSync(file, "utf8"), "content");
  assert.is(await access("write", file), "write");
  assert.is(readFileSync(file, "utf8"), "");
  const made = `${file}-made`;
  assert.is(await access("append", made), "write");
  assert.ok(existsSync(made));
  assert.is((await cli(["send", socketPath(), "/no/such/file"])).code, 1);
});

test("usage: what was expected, what was given, a hint; exit code 2", async () => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [[], /expected a command/],
    [["recieve"], /unknown command "recieve"/],
    [["sned"], /did you mean send\?/],
    [["recv", "p", "--exce", "cat"], /unknown option --exce[\s\S]*did you mean --exec\?/],
    [["recv", "p", "--exec"], /--exec expected a command/],
    [["recv", "p", "-x"], /unknown option -x/],
    [["recv"], /expected the PATH/],
    [["recv", "p", "q"], /expected one PATH, got another argument, "q"/],
    [["recv", "fd:x"], /fd:N expected a whole number/],
    [["recv", "p", "--timeout", "soon"], /--timeout expected seconds, as in 5 or 0.5, got "soon"/],
    [["recv", "p", "--timeout", "--json"], /--timeout expected SECONDS, got the option --json/],
    [["recv", "p", "--timeout"], /--timeout expected SECONDS, got nothing/],
    [["recv", "p", "--count", "2", "--count", "3"], /--count expected one value, got two/],
    [["recv", "p", "--count", "3", "--max-fds", "2"], /can never be reached/],
    [["recv", "p", "--json=yes"], /--json expected no value/],
    [["recv", "p", "--json", "--exec", "cat"], /--json and --exec cannot be combined/],
    [["recv", "p", "--name", "a"], /needs --exec/],
    [["recv", "p", "--name", "a\nb", "--exec", "cat"], /printable ASCII/],
    [["recv", "p", "--fd", "1", "--fd", "1", "--exec", "cat"], /given twice/],
    [["recv", "p", "--mode", "rw"], /--mode expected an octal number/],
    [["recv", "@p", "--mode", "600"], /an abstract name has no mode/],
    [["recv", "p", "--datagram", "--seqpacket"], /cannot be combined/],
    [["recv", "p", "--connect", "--datagram"], /--connect needs the path/],
    [["recv", "p", "--wait"], /--wait needs --connect/],
    [["recv", `/tmp/${"x".repeat(200)}`], /at most \d+ bytes[\s\S]*cd to the folder/],
    // An abstract name is in no folder.
    [["send", `@${"x".repeat(200)}`, "/"], /at most \d+ bytes, got "201 bytes"\n$/],
    [["send", "p"], /expected at least one FILE/],
    [["send", "p", "/", "--open", "rw"], /--open expected one of read, read-write/],
    [["send", "p", ...Array(254).fill("/")], /at most \d+ files/],
  ];
  const check = async ([args, expected]: (typeof cases)[number]) => {
    const { code, stdout, stderr } = await cli(args);
    assert.is(code, 2, `${args.join(" ")}: ${stderr}`);
    assert.is(stdout, "");
    assert.match(stderr, expected);
  };
  // Two processes at a time.
  for (let i = 0; i < cases.length; i += 2) await Promise.all(cases.slice(i, i + 2).map(check));
});

test.run();
