/** Datagrams to many receivers: one that does not read holds up its own alone. */

import { mkdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { UnixDatagram } from "unix-ancillary";
import * as assert from "uvu/assert";
import { again, codeOf, crowd, leakChecked, role, socketPath, temporaryFolder } from "../support.ts";

const test = leakChecked("receivers");

if (role === "ends") {
  const [server, silent] = [UnixDatagram.unbound(), UnixDatagram.bind(process.argv[2]!)];
  crowd(server, process.argv[2]!);
  const sent = server.sendFdsTo("last", [0], process.argv[2]!);
  if (process.argv[3] === "unref") server.unref();
  else {
    setTimeout(async () => {
      while (silent.tryRecvFds(0) !== null);
      await sent;
      console.log("sent");
    }, 50);
  }
}

/** A server, a receiver whose queue is full, and one that reads. */
function world(): { server: UnixDatagram; silent: string; good: string; sockets: UnixDatagram[]; filled: number } {
  const [silent, good] = [socketPath(), socketPath()];
  const sockets = [UnixDatagram.unbound(), UnixDatagram.bind(silent), UnixDatagram.bind(good)];
  const server = sockets[0]!;
  return { server, silent, good, sockets, filled: crowd(server, silent) };
}

test("one receiver that does not read holds up nobody else", async () => {
  const { server, silent, good, sockets } = world();
  const waiting = Array.from({ length: 20 }, (_, i) => codeOf(server.sendFdsTo(`${i}`, [0], silent)));
  await server.sendFdsTo("async", [0], good);
  server.sendFdsToSync("sync", [0], good, { timeout: 0 });
  assert.is(server.trySendFdsTo("try", [0], good), 3);
  assert.is(server.trySendFdsTo("try", [0], silent), null);
  assert.is(await codeOf(() => server.sendFdsToSync("sync", [0], silent, { timeout: 5 })), "ETIMEDOUT");
  for (const text of ["async", "sync", "try"]) {
    const message = sockets[2]!.recvFdsSync(1);
    assert.is(String(message.data), text);
    message[Symbol.dispose]();
  }
  for (const socket of sockets) socket.close();
  assert.equal(await Promise.all(waiting), new Array(20).fill("ERR_SOCKET_CLOSED"));
});

test("more sends than one turn of the event loop has: those that wait for the next turn are served in it", async () => {
  const { server, good, sockets } = world();
  for (let i = 0; i < 200; i++) {
    const sent = server.sendFdsTo(`${i}`, [], good).then(() => "sent");
    assert.is(await Promise.race([sent, sleep(2000)]), "sent");
    assert.is(String(sockets[2]!.recvFdsSync(0).data), `${i}`);
  }
  for (const socket of sockets) socket.close();
});

test("the order of the sends to one receiver is kept, those that do not wait among them", async () => {
  const { server, silent, sockets, filled } = world();
  const receiver = sockets[1]!;
  const sends = [server.sendFdsTo("0", [0], silent), server.sendFdsTo("1", [0], silent)];
  for (let i = 0; i < filled; i++) receiver.recvFdsSync(0);
  // Those that wait go first.
  assert.is(server.trySendFdsTo("2", [0], silent), 1);
  server.sendFdsToSync("3", [0], silent);
  sends.push(server.sendFdsTo("4", [0], silent));
  await Promise.all(sends);
  for (let i = 0; i < 5; i++) {
    const message = receiver.recvFdsSync(1);
    assert.is(String(message.data), `${i}`);
    message[Symbol.dispose]();
  }
  for (const socket of sockets) socket.close();
});

test("one receiver has one queue, however its path is spelled, and whatever the working directory is later", async () => {
  const [folder, elsewhere] = [temporaryFolder(), temporaryFolder()];
  const before = process.cwd();
  mkdirSync(`${folder}/sub`);
  process.chdir(folder);
  const [server, receiver, namesake] = [
    UnixDatagram.unbound(),
    UnixDatagram.bind("r"),
    UnixDatagram.bind(`${elsewhere}/r`),
  ];
  try {
    const filled = crowd(server, "r");
    const spellings = ["r", "./r", "sub/../r", `${folder}/r`, `${folder}//r`, `${folder}/./sub/../r`];
    const sends = spellings.map((path, i) => server.sendFdsTo(`${i}`, [0], path));
    process.chdir(elsewhere);
    // Another receiver, which does not wait for the first.
    for (const path of ["./r", "r"]) assert.is(await server.sendFdsTo("x", [], path), 1);
    for (let i = 0; i < filled; i++) receiver.recvFdsSync(0, { timeout: 1000 });
    // Those that wait go first.
    assert.is(server.trySendFdsTo("6", [0], `${folder}/sub/../r`), 1);
    await Promise.all(sends);
    for (let i = 0; i <= spellings.length; i++) {
      const message = receiver.recvFdsSync(1, { timeout: 1000 });
      assert.is(String(message.data), `${i}`);
      message[Symbol.dispose]();
    }
    for (let i = 0; i < 2; i++) assert.is(String(namesake.recvFdsSync(0, { timeout: 1000 }).data), "x");
  } finally {
    process.chdir(before);
    for (const socket of [server, receiver, namesake]) socket.close();
  }
});

test("an abort withdraws one send of several, and the others go on", async () => {
  const { server, silent, sockets, filled } = world();
  const receiver = sockets[1]!;
  const abort = new AbortController();
  const sends = [
    server.sendFdsTo("first", [], silent, { signal: abort.signal }),
    server.sendFdsTo("second", [], silent),
    server.sendFdsTo("third", [], silent, { signal: abort.signal }),
  ];
  const settled = Promise.allSettled(sends);
  abort.abort("enough");
  for (let i = 0; i < filled; i++) receiver.recvFdsSync(0);
  const withdrawn = { status: "rejected", reason: "enough" };
  assert.equal(await settled, [withdrawn, { status: "fulfilled", value: 6 }, withdrawn]);
  assert.is(String(receiver.recvFdsSync(0).data), "second");
  assert.is(receiver.tryRecvFds(0), null);
  for (const socket of sockets) socket.close();
});

test("a receiver that goes away fails its own sends", async () => {
  const { server, silent, good, sockets } = world();
  const lost = [server.sendFdsTo("0", [0], silent), server.sendFdsTo("1", [0], silent)].map(codeOf);
  sockets[1]!.close();
  assert.equal(await Promise.all(lost), ["ENOENT", "ENOENT"]);
  assert.is(await server.sendFdsTo("x", [], good), 1);
  server.close();
  sockets[2]!.close();
});

test("a shutdown for writing takes effect behind the sends that wait", async () => {
  const { server, silent, sockets, filled } = world();
  const receiver = sockets[1]!;
  server.connect(silent);
  const sent = server.sendFdsTo("before", [0], silent);
  server.shutdown("write");
  await sleep(5);
  for (let i = 0; i < filled; i++) receiver.recvFdsSync(0);
  assert.is(await sent, 6);
  await sleep(100);
  assert.is(await codeOf(server.sendFds("after")), "EPIPE");
  receiver.recvFdsSync(1)[Symbol.dispose]();
  for (const socket of sockets) socket.close();
});

for (const how of ["ref", "unref"]) {
  test(`sends that wait ${how === "ref" ? "keep the process alive" : "let it end after unref"}`, async () => {
    const { code, stdout, stderr } = await again(import.meta.url, "ends", [socketPath(), how]);
    assert.is(stderr, "");
    assert.is(stdout, how === "ref" ? "sent\n" : "");
    assert.ok(code === 0 || code === 13, `code ${code}`);
  });
}

if (role === undefined) test.run();
