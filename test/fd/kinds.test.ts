/** describe(): every kind of file that Linux has and that this kernel and this user can make; each is made, and sent. */

import { execFileSync } from "node:child_process";
import { UnixSeqpacket } from "unix-ancillary";
import { VirtualKernel } from "unix-ancillary/testing";
import * as assert from "uvu/assert";
import { leakChecked, works } from "../support.ts";

const test = leakChecked("kinds");

/** Numbers of system calls are x86-64's. */
const MAKERS = `
import ctypes, fcntl, os, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
buf = ctypes.create_string_buffer
def call(*parameters):
    result = libc.syscall(*parameters)
    if result < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
def seccomp():
    libc.prctl(38, 1, 0, 0, 0)
    allow = buf(struct.pack("HBBI", 6, 0, 0, 0x7fff0000), 8)
    return call(317, 1, 8, buf(struct.pack("H6xP", 1, ctypes.addressof(allow)), 16))
def program():
    code = buf(struct.pack("BBhi", 0xb7, 0, 0, 0) + struct.pack("BBhi", 0x95, 0, 0, 0), 16)
    licence = buf(b"GPL")
    return call(321, 5, buf(struct.pack("IIQQ", 1, 2, ctypes.addressof(code), ctypes.addressof(licence)), 128), 128)
def ioctl(fd, request): return fcntl.ioctl(fd, request, 0)
def vm(): return ioctl(os.open("/dev/kvm", os.O_RDWR), 0xAE01)
def guest_memfd():
    fd = libc.ioctl(vm(), 0xC040AED4, buf(struct.pack("Q", 4096), 64))
    if fd < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return fd
MAKERS = {
    "memfd": lambda: os.memfd_create("x"),
    "epoll": lambda: call(291, 0),
    "eventfd": lambda: call(290, 0, 0),
    "timerfd": lambda: call(283, 1, 0),
    "signalfd": lambda: call(289, -1, buf(8), 8, 0),
    "inotify": lambda: call(294, 0),
    "fanotify": lambda: call(300, 0, 0),
    "io_uring": lambda: call(425, 1, buf(120)),
    "userfaultfd": lambda: call(323, 1),
    "pidfd": lambda: call(434, os.getpid(), 0),
    "seccomp-notify": seccomp,
    "landlock-ruleset": lambda: call(444, buf(struct.pack("Q", 1)), 8, 0),
    "kvm-vm": vm,
    "kvm-vcpu": lambda: ioctl(vm(), 0xAE41),
    "kvm-guest-memfd": guest_memfd,
    "bpf-map": lambda: call(321, 0, buf(struct.pack("IIII", 2, 4, 4, 1), 128), 128),
    "bpf-prog": program,
    "perf_event": lambda: call(298, buf(struct.pack("IIQ", 1, 112, 9), 112), 0, -1, -1, 0),
    "fscontext": lambda: call(430, b"tmpfs", 0),
    "namespace": lambda: os.open("/proc/self/ns/net", os.O_RDONLY),
    "character-device": lambda: os.open("/dev/kvm", os.O_RDWR),
    "directory": lambda: call(428, -100, b"/", 1),
}
`;

/** What this machine may refuse: it needs a privilege, a device or a newer kernel. */
const MAY_BE_MISSING =
  /^(fanotify|io_uring|userfaultfd|pidfd|seccomp-notify|landlock-ruleset|kvm-[\w-]+|bpf-\w+|perf_event|fscontext|character-device|directory)$/;

const makes =
  process.arch === "x64" && process.platform === "linux" && works("python3", ["-c", "import socket; socket.send_fds"]);

test.needing(
  makes,
  "Linux on x64, and Python",
  "each kind is received and named, or the kernel says why it is not made or sent",
  () => {
    const [ours, theirs] = UnixSeqpacket.pair();
    const script = `${MAKERS}
s = socket.socket(fileno=3)
for kind, make in MAKERS.items():
    fds = []
    try:
        fds = [make()]
        socket.send_fds(s, [("%-20sok" % kind).encode()], fds)
    except OSError as error:
        s.send(("%-20s%s %s" % (kind, "send" if fds else "make", error)).encode())
`;
    execFileSync("python3", ["-c", script], { stdio: ["ignore", "inherit", "inherit", theirs.fd] });
    theirs.close();
    const named: string[] = [];
    for (;;) {
      const { data, fds, eof } = ours.recvFdsSync(1);
      if (eof) break;
      const kind = data.toString("utf8", 0, 20).trim();
      const result = data.toString("utf8", 20).trim();
      if (result !== "ok") {
        assert.match(kind, MAY_BE_MISSING, `${kind}: ${result}`);
        console.log(`SKIPPED: ${kind}: ${result}`);
        continue;
      }
      assert.is(fds[0]!.describe().kind, kind);
      assert.is.not(fds[0]!.describe().access, kind === "directory" ? "read" : "path");
      fds[0]!.close();
      named.push(kind);
    }
    ours.close();
    assert.ok(named.includes("epoll") && named.includes("namespace"), named.join(" "));
  },
);

test.needing(
  makes,
  "Linux on x64, and Python",
  "an io_uring is named; newer kernels refuse to send one, and their reason is the error's",
  () => {
    // The program that has the ring becomes Node.
    const program = `
    import { OwnedFd, UnixStream } from "unix-ancillary";
    const ring = OwnedFd.fromRaw(Number(process.argv.at(-1)));
    const [a, b] = UnixStream.pair();
    const sent = await a.sendFds("x", [ring]).then(() => "sent", ({ code, syscall }) => code + " " + syscall);
    console.log(ring.describe().kind + ", " + sent);
    for (const one of [ring, a, b]) one.close();
  `;
    const script = `${MAKERS}
import sys
try: ring = MAKERS["io_uring"]()
except OSError as error: print("SKIPPED: io_uring: %s" % error); sys.exit()
os.set_inheritable(ring, True)
os.execv(sys.argv[1], [sys.argv[1], "--input-type=module", "-e", sys.argv[2], str(ring)])
`;
    const output = execFileSync("python3", ["-c", script, process.execPath, program], { encoding: "utf8" });
    if (output.startsWith("SKIPPED")) console.log(output.trim());
    else assert.match(output, /^io_uring, (EINVAL sendmsg|sent)\n$/);
  },
);

test("a regular file without a path is what its link says, the memory of a KVM guest above all; older kernels have other links", () => {
  const simulated = new VirtualKernel("linux-x86_64-glibc").process();
  const file = simulated.open("memory");
  assert.is(file.describe().kind, "file");
  for (const [link, kind] of [
    ["anon_inode:[kvm-gmem]", "kvm-guest-memfd"],
    ["anon_inode:[newer]", "unknown"],
    ["anon_inode:landlock-ruleset", "landlock-ruleset"],
    ["pidfd:[5]", "pidfd"],
  ] as const) {
    simulated.platform.system.fdLink = () => link;
    assert.equal(file.describe(), { kind, access: file.describe().access, nonblocking: false });
  }
  file.close();
});

test.run();
