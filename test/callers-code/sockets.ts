/** How the operations of sockets are called. */

import { createServer, type Server, type Socket } from "node:net";
import { OwnedFd, UnixDatagram, UnixListener, UnixSeqpacket, UnixStream } from "unix-ancillary";
import { socketPath } from "../support.ts";
import { type Arguments, add, method, payloads, plain, type Recipe, receiving, socketOf, wrapAll } from "./recipe.ts";
import type { World } from "./world.ts";

// Sockets that carry messages.

const CLASSES = { UnixStream, UnixSeqpacket, UnixDatagram };

for (const [kind, name] of [
  ["stream", "UnixStream"],
  ["seqpacket", "UnixSeqpacket"],
  ["datagram", "UnixDatagram"],
] as const) {
  const brief = kind !== "stream";
  for (const [i, data] of payloads.entries()) {
    const sends = { kind, moves: "sends", brief } as const;
    const fds: Arguments = (world) => [...data(world), [...world.fds()]];
    for (const send of kind === "datagram" ? ["sendFds"] : ["sendFds", "sendFdsAll"]) {
      // Some have a quick way for one piece and no options.
      if (i === 0) add(`${name}#${send}`, method(socketOf, send, fds), { ...sends, waits: true });
      const signalled: Arguments = (world) => [...fds(world), { signal: world.signal }];
      add(`${name}#${send}`, method(socketOf, send, signalled), { ...sends, waits: i === 0 });
      add(
        `${name}#${send}Sync`,
        method(socketOf, `${send}Sync`, (world) => [...fds(world), { timeout: 1000 }]),
        sends,
      );
    }
    add(`${name}#trySendFds`, method(socketOf, "trySendFds", fds), sends);
  }
  const receives = { kind, moves: "receives", brief } as const;
  const options = { bufferSize: 100, allowTruncated: false };
  for (const receive of kind === "datagram"
    ? ["recvFds", "recvFdsExact", "recvFdsFrom"]
    : ["recvFds", "recvFdsExact"]) {
    add(
      `${name}#${receive}`,
      method(receiving, receive, () => [1, options]),
      { ...receives, waits: true },
    );
    const signalled: Arguments = (world) => [1, { ...options, signal: world.signal }];
    add(`${name}#${receive}`, method(receiving, receive, signalled), { ...receives, waits: true });
    add(
      `${name}#${receive}Sync`,
      method(receiving, `${receive}Sync`, () => [1, { ...options, timeout: 1000 }]),
      receives,
    );
  }
  add(
    `${name}#tryRecvFds`,
    method(receiving, "tryRecvFds", () => [1, options]),
    receives,
  );
  const into =
    (suffix: "" | "Sync", list: boolean, more: (world: World) => object): Recipe["make"] =>
    (world, trap) => {
      const socket = receiving(world) as UnixStream;
      const memory = list ? [world.bytes(3), world.bytes(5)] : [world.bytes(8)];
      const given = wrapAll(trap, [list ? memory : memory[0], 1, { allowTruncated: false, ...more(world) }]) as [
        Uint8Array,
        1,
      ];
      return { run: () => socket[`recvFdsInto${suffix}`](...given), into: memory };
    };
  for (const list of [false, true]) {
    add(
      `${name}#recvFdsInto`,
      into("", list, () => ({})),
      { ...receives, waits: !list },
    );
    add(
      `${name}#recvFdsIntoSync`,
      into("Sync", list, () => ({ timeout: 1000 })),
      receives,
    );
  }
  add(
    `${name}#recvFdsInto`,
    into("", false, ({ signal }) => ({ signal })),
    { ...receives, waits: true },
  );
  add(
    `${name}#messages`,
    (world, trap) => {
      const messages = receiving(world).messages(...(wrapAll(trap, [1, { ...options, signal: world.signal }]) as [1]));
      return { run: () => messages.next() };
    },
    { ...receives, waits: true },
  );
  add(
    `${name}#shutdown`,
    method(socketOf, "shutdown", () => ["write"]),
    { kind },
  );
  for (const pass of ["setPassCredentials", "setPassPidfd", "setPassSecurity", "setPassRights"])
    add(
      `${name}#${pass}`,
      method(socketOf, pass, () => [false]),
      { kind },
    );
  add(
    `${name}#getOption`,
    method(socketOf, "getOption", () => ["SOL_SOCKET", "SO_PEERCRED", 12]),
    { kind },
  );
  add(
    `${name}#setOption`,
    method(socketOf, "setOption", (world) => ["SOL_SOCKET", "SO_RCVBUF", world.bytes("12345678")]),
    { kind },
  );
  add(
    `${name}.pair`,
    plain(CLASSES[name].pair, () => [{ platform: undefined }]),
    { kind },
  );
  const source = (world: World) => {
    socketOf(world);
    return [world.keep(OwnedFd.from(world.socket!.fd))];
  };
  add(
    `${name}.from`,
    plain((one: never) => CLASSES[name].from(one), source),
    { kind },
  );
  if (kind === "datagram") continue;
  const limits = { maxFds: 3, maxQueuedFds: 10, maxQueuedBytes: 70000 };
  add(
    `${name}#reader`,
    method(receiving, "reader", () => [limits]),
    { kind },
  );
  const at = (world: World): string => ((world.subject as UnixListener | null) ?? world.listening(kind)).address!;
  add(
    `${name}.connect`,
    plain(CLASSES[name].connect, (world) => [at(world), { signal: world.signal, platform: undefined }]),
    { kind: "listener" },
  );
  add(
    `${name}.connectSync`,
    plain(CLASSES[name].connectSync, (world) => [at(world), { timeout: 1000, platform: undefined }]),
    { kind: "listener" },
  );
}

add(
  "UnixStream#toSocket",
  method(socketOf, "toSocket", () => [{ readable: true, allowHalfOpen: false }]),
);
/** A connection of Node's, which its getters close. */
add("UnixStream.from", (world, trap) => {
  const socket = (world.connected() as UnixStream).toSocket({ readable: false });
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  const destroy = socket.destroy.bind(socket);
  world.keep({ close: destroy });
  world.subject = {
    fd,
    close: destroy,
    get closed() {
      return socket.destroyed;
    },
  };
  const [given] = wrapAll(trap, [socket]) as [Socket];
  return { run: () => UnixStream.from(given) };
});
add(
  "UnixListener.from",
  (world, trap) => {
    const server = createServer().listen(socketPath());
    const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
    const close = server.close.bind(server);
    let closed = false;
    world.subject = {
      fd,
      close: () => {
        closed = true;
        close();
      },
      get closed() {
        return closed;
      },
    };
    world.uses.add("socket");
    world.keep({ close });
    const [given] = wrapAll(trap, [server]) as [Server];
    return { run: () => UnixListener.from(given) };
  },
  { kind: "listener" },
);
add(
  "UnixListener.from",
  plain(UnixListener.from, (world) => [world.keep(OwnedFd.from(world.listening().fd))]),
  { kind: "listener" },
);

// Datagrams by name.

const named = (world: World): UnixDatagram => {
  if (world.socket !== null) return world.socket as UnixDatagram;
  world.peer = world.keep(UnixDatagram.bind(socketPath()));
  world.socket = world.keep(UnixDatagram.unbound());
  world.subject = world.socket;
  world.uses.add("socket");
  return world.socket;
};
const sendsTo = { kind: "datagram", moves: "sends" } as const;
for (const data of payloads) {
  const to: Arguments = (world) => [...data(world), [...world.fds()], named(world).closed ? "" : world.peer!.address];
  add(
    "UnixDatagram#sendFdsTo",
    method(named, "sendFdsTo", (world) => [...to(world), { signal: world.signal }]),
    sendsTo,
  );
  add(
    "UnixDatagram#sendFdsToSync",
    method(named, "sendFdsToSync", (world) => [...to(world), { timeout: 1000 }]),
    sendsTo,
  );
  add("UnixDatagram#trySendFdsTo", method(named, "trySendFdsTo", to), sendsTo);
}
add(
  "UnixDatagram#connect",
  method(named, "connect", (world) => [world.peer!.address]),
  { kind: "datagram" },
);
add(
  "UnixDatagram.bind",
  plain(UnixDatagram.bind, () => [socketPath(), { platform: undefined }]),
);
add(
  "UnixDatagram.unbound",
  plain(UnixDatagram.unbound, () => [{ platform: undefined }]),
);

// Listeners.

const listener = (world: World): object => world.subject ?? world.listening();
add(
  "UnixListener#accept",
  method(listener, "accept", (world) => [{ signal: world.signal }]),
  { kind: "listener" },
);
add(
  "UnixListener#acceptSync",
  method(listener, "acceptSync", () => [{ timeout: 1000 }]),
  { kind: "listener" },
);
for (const pass of ["setPassCredentials", "setPassPidfd", "setPassSecurity", "setPassRights"])
  add(
    `UnixListener#${pass}`,
    method(listener, pass, () => [false]),
    { kind: "listener" },
  );
add(
  "UnixListener#getOption",
  method(listener, "getOption", () => ["SOL_SOCKET", "SO_RCVBUF", 4]),
  { kind: "listener" },
);
add(
  "UnixListener#setOption",
  method(listener, "setOption", (world) => ["SOL_SOCKET", "SO_RCVBUF", world.bytes("12345678")]),
  { kind: "listener" },
);
const listen = { type: "stream", backlog: 5, mode: 0o600, platform: undefined };
add(
  "UnixListener.bind",
  plain(UnixListener.bind, () => [socketPath(), listen]),
);
