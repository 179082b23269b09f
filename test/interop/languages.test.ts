/** Python, Ruby and Perl: each of their ways to pass descriptors, in both directions. */

import { openSync, readFileSync } from "node:fs";
import { OwnedFd, UnixListener } from "unix-ancillary";
import * as assert from "uvu/assert";
import { fileWith, socketPath } from "../support.ts";
import { interop, type Needed, Program, PYTHON } from "./programs.ts";

/** A way to pass descriptors, and a script that uses it. */
interface Way {
  readonly name: string;
  readonly needs: Needed;
  readonly command: readonly [string, ...string[]];
  /** How many descriptors are in a message, and the bytes with them. */
  readonly perMessage: 1 | 3;
  readonly payload: string;
  /**
   * Connects to the first argument; receives three descriptors, writes what they contain on a line, sends the files that the other
   * three arguments name, each a descriptor, and ends when the peer has.
   */
  readonly script: string;
}

const python: Needed = { debian: "python3", probe: [PYTHON, "-c", "import socket; socket.send_fds"] };
const ruby: Needed = { debian: "ruby", probe: ["ruby", "-rsocket", "-e", "UNIXSocket.instance_method(:send_io)"] };

const WAYS: readonly Way[] = [
  {
    name: "Python, socket.send_fds and recv_fds",
    needs: python,
    command: [PYTHON, "-c"],
    perMessage: 3,
    payload: "three files",
    script: `
import os, socket, sys
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
data, fds, flags, address = socket.recv_fds(peer, 100, 16)
assert (data, len(fds), flags) == (b"three files", 3, 0), (data, fds, flags)
print(*(os.read(fd, 100).decode() for fd in fds), flush=True)
socket.send_fds(peer, [b"three ", b"files"], [os.open(path, os.O_RDONLY) for path in sys.argv[2:]])
assert peer.recv(1) == b""
`,
  },
  {
    name: "Python, multiprocessing.reduction.sendfds and recvfds",
    needs: python,
    command: [PYTHON, "-c"],
    perMessage: 3,
    // The number of descriptors, modulo 256.
    payload: "\x03",
    script: `
import os, socket, sys
from multiprocessing import reduction
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
print(*(os.read(fd, 100).decode() for fd in reduction.recvfds(peer, 3)), flush=True)
reduction.sendfds(peer, [os.open(path, os.O_RDONLY) for path in sys.argv[2:]])
assert peer.recv(1) == b""
`,
  },
  {
    name: "Ruby, UNIXSocket#send_io and recv_io",
    needs: ruby,
    command: ["ruby", "-rsocket", "-e"],
    perMessage: 1,
    payload: "\0",
    script: `
peer = UNIXSocket.new(ARGV.shift)
puts 3.times.map { peer.recv_io(File).read }.join(" ")
$stdout.flush
ARGV.each { |path| peer.send_io(File.open(path)) }
raise "expected the end" unless peer.read(1).nil?
`,
  },
  {
    name: "Ruby, sendmsg and recvmsg with Socket::AncillaryData",
    needs: ruby,
    command: ["ruby", "-rsocket", "-e"],
    perMessage: 3,
    payload: "three files",
    script: `
peer = UNIXSocket.new(ARGV.shift)
data, _, flags, control = peer.recvmsg(scm_rights: true)
raise "got #{data.inspect}, #{control.inspect}" unless data == "three files" && control.unix_rights.length == 3
puts control.unix_rights.map(&:read).join(" ")
$stdout.flush
peer.sendmsg("three files", 0, nil, Socket::AncillaryData.unix_rights(*ARGV.map { |path| File.open(path) }))
raise "expected the end" unless peer.read(1).nil?
`,
  },
  {
    name: "Perl, IO::FDPass",
    needs: { debian: "libio-fdpass-perl", probe: ["perl", "-MIO::FDPass", "-e", "1"] },
    command: ["perl", "-MIO::FDPass", "-MIO::Socket::UNIX", "-we"],
    perMessage: 1,
    payload: "\0",
    script: `
use strict;
$| = 1;
my $peer = IO::Socket::UNIX->new(Peer => shift) or die;
my @contents = map {
  my $fd = IO::FDPass::recv fileno $peer;
  open my $file, "<&=", $fd or die "got $fd: $!";
  scalar <$file>
} 1 .. 3;
print "@contents\\n";
for (@ARGV) {
  open my $file, "<", $_ or die;
  IO::FDPass::send fileno $peer, fileno $file or die;
}
die "expected the end" unless sysread($peer, my $byte, 1) == 0;
`,
  },
  {
    name: "Perl, Socket::MsgHdr",
    needs: { debian: "libsocket-msghdr-perl", probe: ["perl", "-MSocket::MsgHdr", "-e", "1"] },
    command: ["perl", "-MSocket", "-MSocket::MsgHdr", "-MIO::Socket::UNIX", "-we"],
    perMessage: 3,
    payload: "three files",
    script: `
use strict;
$| = 1;
my $peer = IO::Socket::UNIX->new(Peer => shift) or die;
my $message = Socket::MsgHdr->new(buflen => 100, controllen => 256);
recvmsg($peer, $message) // die $!;
my ($level, $type, $data, @more) = $message->cmsghdr;
die unless $message->buf eq "three files" && $level == SOL_SOCKET && $type == SCM_RIGHTS && !@more && !$message->flags;
my @contents = map { open my $file, "<&=", $_ or die $!; scalar <$file> } unpack "i*", $data;
print "@contents\\n";
my @files = map { open my $file, "<", $_ or die; $file } @ARGV;
$message = Socket::MsgHdr->new(buf => "three files");
$message->cmsghdr(SOL_SOCKET, SCM_RIGHTS, pack "i*", map { fileno $_ } @files);
sendmsg($peer, $message) // die $!;
die "expected the end" unless sysread($peer, my $byte, 1) == 0;
`,
  },
];

const test = interop("languages");
const OURS = ["one", "two", "three"];
const THEIRS = ["four", "five", "six"];

for (const { name, needs, command, perMessage, payload, script } of WAYS) {
  test(name, [needs], async () => {
    await using listener = UnixListener.bind(socketPath());
    const [program, ...args] = command;
    await using peer = new Program(program, [...args, script, listener.address!, ...THEIRS.map(fileWith)]);
    using socket = await peer.meanwhile(listener.accept());
    const files = OURS.map((content) => OwnedFd.fromRaw(openSync(fileWith(content), "r")));
    for (let i = 0; i < files.length; i += perMessage) await socket.sendFdsAll(payload, files.slice(i, i + perMessage));
    for (const file of files) file.close();
    assert.is(await peer.line(), OURS.join(" "));

    using reader = socket.reader();
    const contents: string[] = [];
    while (contents.length < THEIRS.length) {
      assert.is((await reader.read(payload.length)).toString(), payload);
      for (const fd of reader.takeFds(perMessage)) {
        contents.push(readFileSync(fd.fd, "utf8"));
        fd.close();
      }
    }
    assert.equal(contents, THEIRS);
    assert.is(reader.queuedFds, 0);
    socket.shutdown("write");
    assert.is(await peer.success(), "");
    assert.is(await reader.ended(), true);
    return `it read our ${OURS.length} files and we its ${THEIRS.length}, ${perMessage} in a message`;
  });
}

test.run();
