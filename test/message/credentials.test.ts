/** Credentials of a sender that the kernel cannot name here: facts, or null. */

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { FdChannel, OwnedFd, type PeerPolicy, UnixStream } from "unix-ancillary";
import { VirtualKernel } from "unix-ancillary/testing";
import * as assert from "uvu/assert";
import { leakChecked, NEEDS, role, run, works } from "../support.ts";

const test = leakChecked("credentials");

if (role !== undefined) {
  // In a namespace of its own, with a socket of a process outside.
  const socket = UnixStream.from(OwnedFd.fromRaw(3));
  let peer: string;
  try {
    socket.peerCredentials();
    peer = "known";
  } catch (error) {
    peer = (error as { code: string }).code;
  }
  const { credentials } = await socket.recvFds(0);
  const groups = process.env.GROUPS === undefined ? undefined : socket.peerGroups();
  console.log(JSON.stringify({ peer, credentials, groups }));
  const policy = process.env.POLICY;
  if (policy !== undefined) {
    let code = "allowed";
    try {
      FdChannel.over(socket, { peer: JSON.parse(policy) });
    } catch (error) {
      code = (error as { code: string }).code;
    }
    console.log(code);
  }
  process.exit(0);
}

/** Runs this file in a new namespace, with a socket whose other end sends credentials; what it printed. */
async function inside(options: readonly string[], policy?: PeerPolicy): Promise<string[]> {
  const [a, b] = UnixStream.pair();
  b.setPassCredentials(true);
  a.sendFdsSync("hello");
  const { stdout, stderr } = await run("unshare", [...options, process.execPath, fileURLToPath(import.meta.url)], {
    stdio: ["ignore", "pipe", "pipe", b.fd],
    env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: "inside", POLICY: policy && JSON.stringify(policy) },
  });
  assert.is(stderr, "");
  a.close();
  b.close();
  return stdout.trim().split("\n");
}

const needs = (options: readonly string[]): [boolean, string] => [
  works("unshare", [...options, "true"]),
  `unshare ${options.join(" ")}`,
];

const USER = ["--user"];
test.needing(
  ...needs(USER),
  "a user that is not mapped in this user namespace is nobody, and no policy matches",
  async () => {
    const [seen, policy] = await inside(USER, { uid: 65534 });
    assert.equal(JSON.parse(seen!), { peer: "ENOTSUP", credentials: null });
    assert.is(policy, "ERR_CHANNEL_PEER_REJECTED");
  },
);

test.needing(
  works("unshare", [...USER, "true"]) && process.getuid!() === 0 && NEEDS.unprivileged[0],
  "unshare --user, by root, and a Node that lets root give up its privileges",
  "groups of a peer that are not mapped in this user namespace are left out",
  async () => {
    const before = process.getgroups!();
    process.setgroups!([1234, 65534]);
    process.env.GROUPS = "1";
    try {
      const [a, b] = UnixStream.pair();
      assert.equal(a.peerGroups(), [1234, 65534], "where all are mapped, 65534 is a group like others");
      a.close();
      b.close();
      const [seen] = await inside(USER);
      assert.equal(JSON.parse(seen!).groups, []);
    } finally {
      delete process.env.GROUPS;
      process.setgroups!(before);
    }
  },
);

const HALF = ["--user", "--map-user=7"];
test.needing(
  ...needs(HALF),
  "a group that is not mapped in this user namespace is in no policy, and its user is known",
  async () => {
    const gid = process.getgid!();
    const [seen, rejected] = await inside(HALF, { uid: 7, gid: 65534 });
    assert.is(JSON.parse(seen!).credentials.uid, 7);
    assert.not(JSON.parse(seen!).credentials.gid === gid && gid !== 65534);
    assert.is(rejected, "ERR_CHANNEL_PEER_REJECTED");
    const [, allowed] = await inside(HALF, { uid: 7 });
    assert.is(allowed, "allowed");
  },
);

const PID = ["--pid", "--fork"];
test.needing(...needs(PID), "a sender outside of the pid namespace has a user and no pid", async () => {
  const [seen] = await inside(PID);
  const [uid, gid] = [process.getuid!(), process.getgid!()];
  assert.equal(JSON.parse(seen!), { peer: "known", credentials: { pid: null, uid, gid } });
});

test("where all ids are mapped, 65534 is a user like others", () => {
  for (const name of ["linux-aarch64-musl", "freebsd-amd64"] as const) {
    const kernel = new VirtualKernel(name);
    const nobody = kernel.process({ uid: 65534, gid: 65534 });
    const [a, b] = UnixStream.pair({ platform: nobody.platform });
    assert.is(a.peerCredentials().uid, 65534, name);
    FdChannel.over(a, { peer: { uid: 65534, gid: 65534 } }).close();
    b.close();
    kernel.check();
  }
});

test("data sent before the option was on is nobody's, also from the user nobody", () => {
  const kernel = new VirtualKernel("linux-aarch64-musl");
  const { pid, platform } = kernel.process({ uid: 65534, gid: 65534 });
  const [a, b] = UnixStream.pair({ platform });
  a.sendFdsSync("before");
  b.setPassCredentials(true);
  assert.is(b.recvFdsSync(0).credentials, null);
  a.sendFdsSync("after");
  assert.equal(b.recvFdsSync(0).credentials, { pid, uid: 65534, gid: 65534 });
  a.close();
  b.close();
  kernel.check();
});

const DROPPED: [boolean, string] = [
  process.platform === "linux" &&
    process.getuid!() === 0 &&
    NEEDS.unprivileged[0] &&
    /^ *0 +0 +4294967295$/m.test(readFileSync("/proc/self/uid_map", "utf8")),
  "root in a user namespace that maps all ids, and a Node that lets it give up its privileges",
];
test.needing(...DROPPED, "a process of the user nobody is that user", () => {
  const script = `
    process.setgid(65534);
    process.setuid(65534);
    const { UnixStream } = await import(${JSON.stringify(import.meta.resolve("unix-ancillary"))});
    const [a, b] = UnixStream.pair();
    b.setPassCredentials(true);
    a.sendFdsSync("x");
    console.log(a.peerCredentials().uid, b.recvFdsSync(0).credentials.uid);`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
    encoding: "utf8",
  });
  assert.equal({ status, stdout, stderr }, { status: 0, stdout: "65534 65534\n", stderr: "" });
});

test.run();
