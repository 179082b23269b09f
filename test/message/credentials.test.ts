/** Credentials of a sender that the kernel cannot name here: facts, or null. */

import { fileURLToPath } from "node:url";
import { FdChannel, OwnedFd, UnixStream } from "unix-ancillary";
import { VirtualKernel } from "unix-ancillary/testing";
import * as assert from "uvu/assert";
import { codeOf, leakChecked, role, run, works } from "../support.ts";

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
  console.log(JSON.stringify({ peer, credentials }));
  if (role === "user") console.log(await codeOf(() => FdChannel.over(socket, { peer: { uid: 65534 } })));
  process.exit(0);
}

/** Runs this file in a new namespace, with a socket whose other end sends credentials; what it printed. */
async function inside(kind: string, options: readonly string[]): Promise<string[]> {
  const [a, b] = UnixStream.pair();
  b.setPassCredentials(true);
  a.sendFdsSync("hello");
  const { stdout, stderr } = await run("unshare", [...options, process.execPath, fileURLToPath(import.meta.url)], {
    stdio: ["ignore", "pipe", "pipe", b.fd],
    env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: kind },
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
    const [seen, policy] = await inside("user", USER);
    assert.equal(JSON.parse(seen!), { peer: "ENOTSUP", credentials: null });
    assert.is(policy, "ERR_CHANNEL_PEER_REJECTED");
  },
);

const PID = ["--pid", "--fork"];
test.needing(...needs(PID), "a sender outside of the pid namespace has a user and no pid", async () => {
  const [seen] = await inside("pid", PID);
  const [uid, gid] = [process.getuid!(), process.getgid!()];
  assert.equal(JSON.parse(seen!), { peer: "known", credentials: { pid: null, uid, gid } });
});

test("the overflow ids are nobody on every platform with Linux's rules", () => {
  const kernel = new VirtualKernel("linux-aarch64-musl");
  const nobody = kernel.process({ uid: 65534, gid: 65534 });
  const [a, b] = UnixStream.pair({ platform: nobody.platform });
  b.setPassCredentials(true);
  a.sendFdsSync("x");
  assert.is(b.recvFdsSync(0).credentials, null);
  a.close();
  b.close();
  const half = kernel.process({ uid: 7, gid: 65534 });
  const [c, d] = UnixStream.pair({ platform: half.platform });
  assert.equal(c.peerCredentials(), { pid: half.pid, uid: 7, gid: 65534 });
  const channel = FdChannel.over(c, { peer: { uid: 7 } });
  assert.throws(() => FdChannel.over(d, { peer: { uid: 7, gid: 65534 } }), /expected a peer that the policy allows/);
  channel.close();
  d.close();
  kernel.check();
});

test("elsewhere 65534 is a user", () => {
  const kernel = new VirtualKernel("freebsd-amd64");
  const nobody = kernel.process({ uid: 65534, gid: 65534 });
  const [a, b] = UnixStream.pair({ platform: nobody.platform });
  assert.is(a.peerCredentials().uid, 65534);
  a.close();
  b.close();
  kernel.check();
});

test.run();
