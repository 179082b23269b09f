/** memfd: what is in it, what its seals forbid, and what becomes of it when a call fails. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readlinkSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { memfd, OwnedFd, type Seal, UnixListener, UnixStream } from "unix-ancillary";
import { VirtualKernel } from "unix-ancillary/testing";
import * as assert from "uvu/assert";
import { leakChecked } from "../support.ts";

const test = leakChecked("memfd");

/** The seals that the kernel adds by itself. */
const EXEC: readonly Seal[] = (() => {
  using probe = memfd("probe", { seal: [] });
  return probe.describe().seals!;
})();

/** Its file: on Deno, `node:fs` does not know the descriptors of others. */
const fileOf = (memory: OwnedFd) => `/proc/self/fd/${memory.fd}`;
const write = (memory: OwnedFd) => writeFileSync(fileOf(memory), "x", { flag: "r+" });

const hasCode = (code: string) => (error: unknown) => (error as { code?: string }).code === code;

const sealsOf = (memory: OwnedFd): readonly Seal[] => memory.describe().seals!.filter((seal) => !EXEC.includes(seal));

test("its bytes are there, and a read begins with the first", () => {
  for (const data of ["a text: é", Buffer.from("bytes"), new Uint8Array(300_000).fill(7), "", undefined]) {
    using memory = memfd("numbers", { data });
    const expected = typeof data === "string" ? Buffer.from(data) : Buffer.from(data ?? "");
    assert.equal(readFileSync(fileOf(memory)), expected);
    assert.match(readFileSync(`/proc/self/fdinfo/${memory.fd}`, "utf8"), /^pos:\t0$/m);
    assert.is(memory.describe().kind, "memfd");
    assert.is(memory.describe().size, expected.length);
  }
});

test("only the bytes of a view are written, of one with a length of its own too", () => {
  const view = Object.defineProperties(Buffer.from("abc"), { length: { value: 9 }, byteLength: { value: 9 } });
  using whole = memfd("view", { data: view });
  assert.is(readFileSync(fileOf(whole), "utf8"), "abc");
  using part = memfd("view", { data: Buffer.from("abcdef").subarray(2, 4) });
  assert.is(readFileSync(fileOf(part), "utf8"), "cd");
});

test("the size is what was asked for, beyond 4 GiB too, and what is behind the data is 0", () => {
  using small = memfd("small", { data: "ab", size: 5 });
  assert.equal(readFileSync(fileOf(small)), Buffer.from("ab\0\0\0"));
  const size = 5 * 2 ** 30 + 3;
  using large = memfd("large", { data: "ab", size });
  const { size: has, blocks } = statSync(fileOf(large));
  assert.is(has, size);
  assert.ok(blocks <= 64, `${blocks} blocks of 512 bytes`);
});

test("nobody can change a sealed memfd, and no seal but those asked for is set", () => {
  using fixed = memfd("fixed", { data: "fixed", seal: true });
  assert.equal(sealsOf(fixed), ["seal", "shrink", "grow", "write"]);
  assert.throws(() => write(fixed), hasCode("EPERM"));
  assert.throws(() => truncateSync(fileOf(fixed), 0), hasCode("EPERM"));
  using sized = memfd("sized", { size: 8, seal: ["shrink", "grow", "seal"] });
  assert.equal(sealsOf(sized), ["seal", "shrink", "grow"]);
  write(sized);
  assert.throws(() => truncateSync(fileOf(sized), 9), hasCode("EPERM"));
  using plain = memfd("plain", { data: "ab" });
  assert.equal(sealsOf(plain), ["seal"]);
  truncateSync(fileOf(plain), 9);
  using open = memfd("open", { seal: [] });
  assert.equal(sealsOf(open), []);
});

test.python("a receiver in another language maps it, cannot write it, and cannot run it", async () => {
  const script = `
import mmap, os, socket
_, fds, _, _ = socket.recv_fds(socket.socket(fileno=3), 1, 1)
assert mmap.mmap(fds[0], 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)[:] == b"#!/bin/true\\n"
# Before Linux 6.7 a shared mapping of sealed memory is refused, although it only reads.
if tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (6, 7):
    assert mmap.mmap(fds[0], 0, prot=mmap.PROT_READ)[:] == b"#!/bin/true\\n"
try:
    mmap.mmap(fds[0], 0, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    raise SystemExit("mapped for writing")
except PermissionError: pass
assert ${EXEC.includes("exec") ? "os.fstat(fds[0]).st_mode & 0o111 == 0" : "True"}
`;
  const [ours, theirs] = UnixStream.pair();
  const python = spawn("python3", ["-c", script], { stdio: ["ignore", "inherit", "inherit", theirs.fd] });
  theirs.close();
  const exit = once(python, "exit");
  using memory = memfd("script", { data: "#!/bin/true\n", seal: true });
  await ours.sendFdsAll("x", [memory]);
  assert.equal(await exit, [0, null]);
  ours.close();
});

test("the name is in /proc; one that the kernel would cut or refuse is an error that says so", () => {
  using memory = memfd("é".repeat(124));
  assert.match(readlinkSync(fileOf(memory)), /^\/memfd:é{124} /);
  assert.throws(() => memfd("a\0b"), /"name" expected a name without NUL/);
  assert.throws(() => memfd("é".repeat(125)), /"name" expected at most 249 bytes, got "250 bytes"/);
  assert.throws(() => memfd(3 as never), /"name" expected a string, got 3 \(number\)/);
});

test("misuse leaves no memfd", () => {
  for (const [options, message] of [
    [{ seals: true }, /expected any of data, size, seal, platform; got "seals"/],
    [{ data: 3 }, /"options.data" expected a string or a Uint8Array/],
    [{ data: "abc", size: 2 }, /"options.size" expected at least the 3 bytes of "options.data", got 2/],
    [{ size: -1 }, /"options.size" expected an integer of at least|"options.size" expected an integer from 0/],
    [{ seal: "write" }, /"options.seal" expected a boolean or an array of seals, got "write"/],
    [{ seal: ["wirte"] }, /"options.seal\[0\]" expected any of "seal", "shrink", .*, got "wirte"/],
    [{ seal: [1] }, /"options.seal\[0\]" expected a string, got 1 \(number\)/],
  ] as const)
    assert.throws(() => memfd("x", options as never), message);
});

test("it is not inherited, and belongs to the library until it is released", () => {
  using memory = memfd("owned");
  assert.throws(() => OwnedFd.fromRaw(memory.fd), hasCode("ERR_FD_OWNED"));
  const flags = readFileSync(`/proc/self/fdinfo/${memory.fd}`, "utf8");
  assert.match(flags, /flags:\s+0?2\d{6}\b/);
});

test("virtual kernel: no memfd is left when any of its calls fails", () => {
  let calls = 0;
  for (let failing = 0; failing <= calls; failing++) {
    const kernel = new VirtualKernel("linux-x86_64-glibc");
    const { platform } = kernel.process();
    kernel.fault = ({ index }) => (index === failing ? { errno: "ENOMEM" } : null);
    const make = () => memfd("m", { data: "abc", size: 9, seal: true, platform });
    if (failing === 0) {
      kernel.fault = null;
      make()[Symbol.dispose]();
      // Its close is the last call.
      calls = kernel.calls - 1;
      assert.is(calls, 4, "memfd_create, two pwrites, F_ADD_SEALS");
    } else {
      kernel.fault = ({ index }) => (index === failing - 1 ? { errno: "ENOMEM" } : null);
      assert.throws(make, hasCode("ENOMEM"));
    }
    kernel.check();
  }
});

test("virtual kernel: a short write is continued, and the bytes can be looked at by the receiver's test", async () => {
  const kernel = new VirtualKernel("linux-x86_64-glibc");
  const [sender, receiver] = [kernel.process(), kernel.process()];
  kernel.fault = ({ name }) => (name === "pwrite" ? { short: 1 } : null);
  const memory = memfd("m", { data: "abc", size: 6, platform: sender.platform });
  assert.equal(memory.describe(), {
    kind: "memfd",
    access: "read-write",
    nonblocking: false,
    size: 6,
    seals: ["seal", "exec"],
  });
  assert.equal(sender.contentOf(memory.fd), new Uint8Array(Buffer.from("abc\0\0\0")));
  const listener = UnixListener.bind("/socket", { platform: receiver.platform });
  const client = await UnixStream.connect("/socket", { platform: sender.platform });
  const served = await listener.accept();
  await client.sendFdsAll("x", [memory]);
  const { fds } = await served.recvFdsExact(1);
  assert.equal(receiver.contentOf(fds[0]!.fd), sender.contentOf(memory.fd));
  assert.is(receiver.contentOf(served.fd), null);
  for (const one of [memory, listener, client, served, ...fds]) one.close();
  kernel.check();
});

test("virtual kernel: what is made there, and what its seals forbid, is as on the real one", () => {
  const { platform: virtual } = new VirtualKernel("linux-x86_64-glibc").process();
  const [a, b] = UnixStream.pair();
  const { platform: real } = a;
  const seals: readonly Seal[] = ["seal", "shrink", "grow", "write", "future-write"];
  const subsets = Array.from({ length: 1 << seals.length }, (_, bits) => seals.filter((_, i) => (bits >> i) & 1));
  for (const seal of [undefined, true, false, ...subsets]) {
    for (const [data, size] of [
      ["", undefined],
      ["abc", 3],
      ["abc", 10],
      [undefined, 5],
    ] as const) {
      const [onVirtual, onReal] = [virtual, real].map((platform) => {
        const memory = memfd("m", { data, size, seal, platform });
        const { system, constants } = platform;
        const bytes = Buffer.from("xy");
        // Within the size, beyond it, and from the second byte on; then the seals that are left.
        const results = [
          system.pwrite(memory.fd, bytes, 0, 0),
          system.pwrite(memory.fd, bytes, 0, 9),
          system.pwrite(memory.fd, bytes, 1, 4),
          system.pwrite(memory.fd, bytes, 2, 0),
          system.fcntl(memory.fd, constants.F_ADD_SEALS!, constants.F_SEAL_GROW!),
          system.pwrite(memory.fd, bytes, 0, 100),
        ];
        const { seals, ...description } = memory.describe();
        memory.close();
        return { results, description, seals: seals!.filter((one) => one !== "exec") };
      });
      assert.equal(onVirtual, onReal, `${seal}, ${data}, ${size}`);
    }
  }
  a.close();
  b.close();
});

test("a kernel before Linux 6.3 makes one too; other systems say ENOSYS", () => {
  const kernel = new VirtualKernel("linux-x86_64-glibc");
  const { platform } = kernel.process();
  kernel.fault = ({ name, index }) => (name === "memfd_create" && index === 0 ? { errno: "EINVAL" } : null);
  using memory = memfd("old", { data: "abc", seal: ["write"], platform });
  assert.equal(memory.describe().seals, ["write"]);
  for (const abi of ["darwin-arm64", "freebsd-amd64", "openbsd-amd64", "netbsd-amd64", "illumos-amd64"] as const) {
    const other = new VirtualKernel(abi);
    const make = () => memfd("x", { data: "x", seal: true, platform: other.process().platform });
    assert.throws(
      make,
      (error: Error) => hasCode("ENOSYS")(error) && /memfd_create \(it needs Linux\)/.test(error.message),
    );
    other.check();
  }
});

test.run();
