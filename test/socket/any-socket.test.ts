/** The low level on sockets of other address families: without descriptors, `sendmsg` and `recvmsg` take them all. */

import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { type AncillaryData, type OwnedFd, recvmsg, SocketAncillary, sendmsg, UnixSeqpacket } from "unix-ancillary";
import * as assert from "uvu/assert";
import { codeOf, errorOf, leakChecked, openFds } from "../support.ts";

const test = leakChecked("any-socket");

const room = Buffer.alloc(2000);
const WAIT = { wait: true, timeout: 5000 };
const ints = (...values: number[]): Uint8Array => new Uint8Array(Int32Array.of(...values).buffer);

/** Numbers of Linux: include/uapi/linux/in.h, netlink.h. */
const IPPROTO_IP = 0;
const IP_TTL = 2;
const IP_PKTINFO = 8;
const SOL_NETLINK = 270;
const NETLINK_PKTINFO = 3;

test("a net.Socket of TCP: bytes in both directions; descriptors are refused before anything is sent", async () => {
  const server = createServer({ pauseOnConnect: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1").pause();
  const [[accepted]] = (await Promise.all([once(server, "connection"), once(client, "connect")])) as [
    [Socket],
    unknown,
  ];
  using out = new SocketAncillary(64);
  out.addFds([client]);
  assert.is(await codeOf(() => sendmsg(client, "lost", out)), "ERR_NOT_UNIX_SOCKET");
  const named = await errorOf(() => sendmsg(client, "lost", null, { address: "/tmp/x" }));
  assert.instance(named, RangeError);
  assert.match(named.message, /socket of AF_INET, got "\/tmp\/x"/);
  assert.is(await codeOf(() => recvmsg(accepted, room)), "EAGAIN");
  assert.is(
    sendmsg(
      client,
      ["hel", "lo"].map((one) => Buffer.from(one)),
      null,
      WAIT,
    ),
    5,
  );
  using into = new SocketAncillary(100);
  const result = recvmsg(accepted, room, into, WAIT);
  assert.equal(result, { bytesRead: 5, ancillaryTruncated: false, dataTruncated: false, address: null });
  assert.is(room.toString("latin1", 0, 5), "hello");
  assert.equal([...into.messages()], []);
  sendmsg(accepted, "back");
  assert.is(recvmsg(client, room, null, WAIT).bytesRead, 4);
  assert.instance(await errorOf(() => recvmsg(client, new Uint8Array(0))), RangeError);
  client.destroy();
  await once(accepted.resume(), "close");
  await new Promise((resolve) => server.close(resolve));
});

for (const [type, host] of [
  ["udp4", "127.0.0.1"],
  ["udp6", "::1"],
] as const) {
  test(`a dgram.Socket, ${type}: the sender's address is no name`, async () => {
    const [receiver, sender] = [createSocket(type), createSocket(type)];
    try {
      receiver.bind(0, host);
      await once(receiver, "listening");
    } catch (error) {
      if (type === "udp4") throw error;
      console.log(`SKIPPED: any-socket, udp6: ${(error as Error).message}`);
      for (const one of [receiver, sender]) one.close();
      return;
    }
    sender.connect(receiver.address().port, host);
    await once(sender, "connect");
    assert.is(sendmsg(sender, "datagram"), 8);
    const result = recvmsg(receiver, room.subarray(0, 4), null, WAIT);
    assert.equal(result, { bytesRead: 4, ancillaryTruncated: false, dataTruncated: true, address: null });
    using out = new SocketAncillary(64);
    out.addFds([0]);
    assert.is(await codeOf(() => sendmsg(sender, "x", out)), "ERR_NOT_UNIX_SOCKET");
    assert.is(await codeOf(() => recvmsg(receiver, room)), "EAGAIN");
    await Promise.all([receiver, sender].map((one) => new Promise((resolve) => one.close(() => resolve(null)))));
  });
}

/** Makes the sockets that it is told to make, which only another program can, passes them, and waits for its end. */
const PROGRAM = `
import array, socket, struct, sys
ours = socket.socket(fileno=3)
def give(name, *sockets):
  socket.send_fds(ours, [name.encode()], [one.fileno() for one in sockets])
def udp():
  receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
  receiver.setsockopt(socket.IPPROTO_IP, 8, 1)
  receiver.setsockopt(socket.IPPROTO_IP, 12, 1)
  receiver.setsockopt(socket.SOL_SOCKET, 35, 1)
  receiver.bind(("127.0.0.1", 0))
  sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
  sender.connect(receiver.getsockname())
  give("udp", receiver, sender)
def netlink():
  made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
  made.bind((0, 0))
  made.setsockopt(270, 3, 1)
  give("netlink", made)
def packet():
  try:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x800))
    made.bind(("lo", 0x800))
    give("packet", made)
  except PermissionError:
    give("no packet")
def alg():
  try:
    made = socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET, 0)
    made.bind(("skcipher", "cbc(aes)"))
    made.setsockopt(279, 1, bytes(16))
    give("alg", made.accept()[0])
  except OSError:
    give("no alg")
globals()[sys.argv[1]]()
print("given", flush=True)
sys.stdin.read()
`;

async function given(name: string, body: (...sockets: OwnedFd[]) => unknown): Promise<void> {
  const [ours, theirs] = UnixSeqpacket.pair();
  const child = spawn("python3", ["-c", PROGRAM, name], { stdio: ["pipe", "pipe", "inherit", theirs.fd] });
  theirs.close();
  const ended = once(child, "close");
  // It may fail.
  await Promise.race([once(child.stdout as Readable, "data"), ended]);
  try {
    using message = ours.recvFdsSync(4, { timeout: 5000 });
    const got = message.data.toString();
    if (got === `no ${name}`) console.log(`SKIPPED: any-socket, ${name}: this machine has none, or it is not allowed`);
    else {
      assert.is(got, name);
      await body(...message.fds);
    }
  } finally {
    ours.close();
    (child.stdin as Writable).end();
    await ended;
  }
}

function received(socket: OwnedFd, capacity = 4096): { bytes: number; truncated: boolean; messages: AncillaryData[] } {
  using into = new SocketAncillary(capacity);
  const { bytesRead, ancillaryTruncated, address } = recvmsg(socket, room, into, WAIT);
  assert.is(address, null);
  return { bytes: bytesRead, truncated: ancillaryTruncated, messages: [...into.messages()] };
}

if (process.platform === "linux") {
  test.python("UDP of another program: IP_PKTINFO, IP_TTL and a time arrive, and IP_TTL is sent", () =>
    given("udp", (receiver, sender) => {
      using out = new SocketAncillary(64);
      out.addMessage({ level: IPPROTO_IP, type: IP_TTL, data: ints(7) });
      assert.is(sendmsg(sender!, "x", out), 1);
      const { messages, truncated } = received(receiver!);
      assert.is(truncated, false);
      const time = messages.find(({ kind }) => kind === "timestamp");
      assert.ok(time?.kind === "timestamp" && Math.abs(Number(time.seconds) - Date.now() / 1000) < 60);
      const unknown = messages.flatMap((one) => (one.kind === "unknown" ? [one] : []));
      assert.is(unknown.length, 2);
      const ttl = unknown.find(({ level, type }) => level === IPPROTO_IP && type === IP_TTL)!;
      assert.equal([...ttl.data], [...ints(7)]);
      // struct in_pktinfo: the interface, the local address, the address in the header.
      const info = unknown.find(({ level, type }) => level === IPPROTO_IP && type === IP_PKTINFO)!;
      assert.equal([...info.data.subarray(4)], [127, 0, 0, 1, 127, 0, 0, 1]);
      assert.ok(info.data.subarray(0, 4).some((byte) => byte > 0));
      // Too little room, or none: the rest is left out, and the bytes arrive.
      for (const capacity of [40, 0]) {
        sendmsg(sender!, "yy");
        const cut = received(receiver!, capacity);
        assert.equal([cut.bytes, cut.truncated], [2, true]);
      }
      sendmsg(sender!.fd, "z");
      assert.is(recvmsg(receiver!.fd, room, null, WAIT).bytesRead, 1, "bare numbers");
    }),
  );

  test.python("netlink of another program: a dump of links, with NETLINK_PKTINFO", () =>
    given("netlink", async (netlink) => {
      const before = openFds().size;
      // struct nlmsghdr: RTM_GETLINK, NLM_F_REQUEST and NLM_F_DUMP; struct ifinfomsg.
      const request = Buffer.alloc(32);
      request.set(ints(32), 0);
      request.set(new Uint8Array(Uint16Array.of(18, 0x301).buffer), 4);
      assert.is(sendmsg(netlink!, request), 32);
      const { bytes, messages } = received(netlink!);
      assert.ok(bytes >= 16, String(bytes));
      assert.equal(
        messages.map((one) => (one.kind === "unknown" ? [one.level, one.type, one.data.length] : one.kind)),
        [[SOL_NETLINK, NETLINK_PKTINFO, 4]],
      );
      assert.is(openFds().size, before);
    }),
  );

  test.python("a packet socket, which refuses MSG_CMSG_CLOEXEC", () =>
    given("packet", async (packet) => {
      // What others sent over the loopback interface.
      let code = "";
      for (let i = 0; i < 1000 && code !== "EAGAIN"; i++) {
        code = await codeOf(() => {
          recvmsg(packet!, room);
          throw Object.assign(new Error(), { code: "received" });
        });
        assert.ok(["received", "EAGAIN"].includes(code), code);
      }
      const [receiver, sender] = [createSocket("udp4"), createSocket("udp4")];
      receiver.bind(0, "127.0.0.1");
      await once(receiver, "listening");
      const { port } = receiver.address();
      await new Promise((resolve) => sender.send("packet", port, "127.0.0.1", resolve));
      for (;;) {
        const { bytes } = received(packet!);
        if (room.toString("latin1", 0, bytes).endsWith("packet")) break;
      }
      await Promise.all([receiver, sender].map((one) => new Promise((resolve) => one.close(() => resolve(null)))));
    }),
  );

  test.python("AF_ALG: an operation in a control message, and its result", () =>
    given("alg", (operation) => {
      using out = new SocketAncillary(256);
      // ALG_SET_OP: ALG_OP_ENCRYPT; ALG_SET_IV: its length, and 16 bytes.
      out.addMessage({ level: 279, type: 3, data: ints(1) });
      out.addMessage({ level: 279, type: 2, data: ints(16, 0, 0, 0, 0) });
      assert.is(sendmsg(operation!, Buffer.alloc(16), out), 16);
      const { bytes } = received(operation!);
      // AES-128 of zeros with the key of zeros: FIPS 197.
      assert.is(room.toString("hex", 0, bytes), "66e94bd4ef8a2c3b884cfa59ca342b2e");
    }),
  );
} else console.log("SKIPPED: any-socket, sockets of another program: the numbers are those of Linux");

test.run();
