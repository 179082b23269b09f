/** The README's table "Coming from": what it says to write is run, call by call. */

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import {
  FdChannel,
  OwnedFd,
  type ReceivedFds,
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
} from "unix-ancillary";
import { handOff, takeConnections } from "unix-ancillary/handoff";
import { USocket } from "unix-ancillary/usocket";
import * as assert from "uvu/assert";
import { closeSync, openSync } from "./descriptors.ts";
import { leakChecked, socketPath } from "./support.ts";

const test = leakChecked("coming-from");
const require = createRequire(import.meta.url);

const [, section] = /\n## Coming from\n([\s\S]*?)\n## /.exec(readFileSync("README.md", "utf8"))!;
/** What one comes from, and the calls in the last column. */
const rows = [...section!.matchAll(/^\| (?!---)(.+?) \| .+ \| (.+) \|$/gm)].map(([, from, here]) => ({
  from: from!.trim(),
  calls: [...here!.matchAll(/`([^`]*\)[^`]*)`/g)].map(([, call]) => call!),
}));

/** Runs calls with these names in scope; returns the results, and what they declare. */
async function perform(calls: readonly string[], scope: Record<string, unknown>): Promise<unknown[]> {
  const results: unknown[] = [];
  const lines = calls.map((call) => {
    const declared = /^const (\w+) = /.exec(call)?.[1];
    return declared === undefined
      ? `results.push(await (${call.replace(/^await /, "")}));`
      : `${call}; results.push(${declared});`;
  });
  const names = ["results", ...Object.keys(scope)];
  const body = new Function(...names, `return (async () => { ${lines.join("\n")} })();`);
  await body(results, ...Object.values(scope));
  return results;
}

/** Closes what was received, which must be so many descriptors of the null device. */
function closeReceived(message: ReceivedFds | null, count = 1): void {
  assert.is(message!.fds.length, count);
  for (const fd of message!.fds) assert.is(fd.describe().kind, "character-device");
  message![Symbol.dispose]();
}

async function withFile(body: (fd: number) => unknown): Promise<void> {
  const fd = openSync("/dev/null", "r");
  try {
    await body(fd);
  } finally {
    closeSync(fd);
  }
}

/** For each row, what its calls must do. */
const PROOFS: Record<string, (calls: readonly string[]) => unknown> = {
  "`usocket`, `dbus-next`": (calls) =>
    withFile(async (fd) => {
      const [a, b] = UnixStream.pair();
      const socket = new USocket({ fd: OwnedFd.from(a).release() });
      a.close();
      await b.sendFdsAll("abc", [fd]);
      await once(socket, "readable");
      const [entry, read] = (await perform(calls, { require, socket, n: 3 })) as [object, { fds: number[] }];
      assert.is((entry as { USocket: unknown }).USocket, USocket);
      closeSync(read.fds[0]!);
      socket.destroy();
      b.close();
    }),
  "`dbus-native`"(calls) {
    // In a lane of its own, with the package.
    assert.equal(calls, ["createClient({ stream })"]);
    assert.match(readFileSync("scripts/dropin.mjs", "utf8"), "examples/dbus-native");
    const [stream] = /class DBusStream[\s\S]*?\n}\n/.exec(readFileSync("examples/dbus-native/inhibit.mjs", "utf8"))!;
    assert.is(stream.split("\n").filter((line) => !/^\s*(\/\/.*)?$/.test(line)).length, 8);
  },
  "`node-unix-socket`": (calls) =>
    withFile(async (fd) => {
      const listener = UnixListener.bind(socketPath(), { type: "seqpacket" });
      const accepting = listener.accept();
      const path = listener.address;
      const [socket] = (await perform(calls, { UnixSeqpacket, path, data: "x", fd })) as [UnixSeqpacket];
      const peer = await accepting;
      closeReceived(await peer.recvFds(1));
      for (const one of [socket, peer, listener]) one.close();
    }),
  "`unix-dgram`": (calls) =>
    withFile(async (fd) => {
      const other = UnixDatagram.bind(socketPath());
      const [path, data] = [socketPath(), "x"];
      const answering = other.recvFdsFrom(1).then(async (message) => {
        closeReceived(message);
        await other.sendFdsTo("answer", [fd], message.address!);
      });
      const results = await perform(calls, { UnixDatagram, path, data, fd, other: other.address });
      closeReceived(results[2] as ReceivedFds);
      await answering;
      (results[0] as UnixDatagram).close();
      other.close();
    }),
  "`child_process`, `cluster`": (calls) =>
    withFile(async (file) => {
      const server = createServer();
      await once(server.listen(0, "127.0.0.1"), "listening");
      const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
      const [connection] = (await once(server, "connection")) as [Socket];
      client.write("read");
      await once(connection, "readable");
      const [channel, worker] = FdChannel.pair();
      const serving = worker.recv().then(async (frame) => {
        assert.is(frame!.fds.length, 2);
        frame![Symbol.dispose]();
        await takeConnections(worker, (socket) => socket.pipe(socket));
      });
      await perform(calls, { channel, message: "m", socket: client, file, handOff, connection });
      client.end();
      let text = "";
      for await (const chunk of client) text += chunk;
      assert.is(text, "read");
      channel.close();
      await serving;
      worker.close();
      await new Promise((resolve) => server.close(resolve));
    }),
  Python: (calls) =>
    withFile(async (fd) => {
      const [sock, peer] = UnixStream.pair();
      await peer.sendFds("y", [fd, fd, fd]);
      const [, received] = await perform(calls, { sock, fd });
      closeReceived(received as ReceivedFds, 3);
      closeReceived(await peer.recvFds(1));
      for (const one of [sock, peer]) one.close();
    }),
  "Rust, `unix-ancillary`": (calls) =>
    withFile(async (file) => {
      const [stream, peer] = UnixStream.pair();
      await peer.sendFds("y", [file]);
      const [, received] = await perform(calls, { stream, file });
      closeReceived(received as ReceivedFds);
      closeReceived(await peer.recvFds(1));
      for (const one of [stream, peer]) one.close();
    }),
};

test("every row has a proof, and every proof a row", () => {
  assert.equal(
    rows.map(({ from }) => from),
    Object.keys(PROOFS),
  );
});

for (const { from, calls } of rows) {
  test(`${from}: ${calls.join(", ")}`, async () => {
    assert.ok(calls.length > 0);
    await PROOFS[from]!(calls);
  });
}

test.run();
