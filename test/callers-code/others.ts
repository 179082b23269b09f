/** How everything is called that is not a method of a socket, and which names run no code of the caller's. */

import {
  FdChannel,
  type FdReader,
  listenFds,
  memfd,
  notify,
  notifyBarrier,
  OwnedFd,
  recvmsg,
  SocketAncillary,
  sendmsg,
  spawn,
  UnixDatagram,
  type UnixStream,
} from "unix-ancillary";
import { closeSync, fstatSync } from "../descriptors.ts";
import { socketPath } from "../support.ts";
import { Lent } from "./arguments.ts";
import { type Arguments, add, method, payloads, plain, receiving, socketOf, wrapAll } from "./recipe.ts";
import { type MessageSocket, PAYLOAD, type World } from "./world.ts";

// Readers.

const readers = new WeakMap<World, FdReader>();
const reader = (world: World): FdReader => {
  const made = readers.get(world) ?? (receiving(world) as UnixStream).reader();
  readers.set(world, made);
  return made;
};
add(
  "FdReader#read",
  method(reader, "read", (world) => [5, { signal: world.signal }]),
  { waits: true },
);
add(
  "FdReader#readUntil",
  method(reader, "readUntil", (world) => [world.bytes("e"), 100, { signal: world.signal }]),
  { waits: true },
);
add(
  "FdReader#ended",
  method(reader, "ended", (world) => [{ signal: world.signal }]),
  { waits: true },
);
add(
  "FdReader#takeFds",
  method(reader, "takeFds", () => [0]),
);

// Channels.

const channels = new WeakMap<World, FdChannel>();
const channel = (world: World): FdChannel => {
  const made = channels.get(world) ?? FdChannel.over(socketOf(world) as UnixStream);
  channels.set(world, made);
  return made;
};
/** Its peer speaks the protocol too. */
const spoken = (world: World): FdChannel => {
  const made = channel(world);
  const theirs = world.keep(FdChannel.over(world.peer as UnixStream));
  for (let i = 0; i < 3; i++) theirs.send("frame").catch(() => {});
  return made;
};
for (const kind of ["stream", "seqpacket"] as const) {
  const sent: Arguments = (world) => [world.bytes(PAYLOAD), [...world.fds()], { signal: world.signal }];
  add("FdChannel#send", method(channel, "send", sent), { kind, moves: "sends", waits: true, brief: kind !== "stream" });
}
add(
  "FdChannel#recv",
  method(spoken, "recv", (world) => [{ signal: world.signal }]),
);
const PARENT = "UNIX_ANCILLARY_CHANNEL_FD";
const SOCKET = "UNIX_ANCILLARY_CHANNEL_SOCKET";
const everybody = () => true;
const limited = { maxPayload: 1000, maxFds: 10, frameTimeout: 1000 };
const uid = process.geteuid!();
for (const peer of [everybody, { uid, gid: process.getegid!(), pid: process.pid }]) {
  add(
    "FdChannel.pair",
    plain(FdChannel.pair, () => [{ ...limited, peer, platform: undefined }]),
  );
  add(
    "FdChannel.over",
    plain(FdChannel.over, (world) => [socketOf(world), { ...limited, peer, platform: undefined }]),
  );
  add("FdChannel.fromParent", (world, trap) => {
    const socket = socketOf(world);
    if (process.env[PARENT] === undefined && !socket.closed) {
      const { dev, ino } = fstatSync(socket.fd);
      process.env[PARENT] = String(OwnedFd.from(socket.fd).release());
      process.env[SOCKET] = `${dev}:${ino}`;
    }
    world.keep({
      close() {
        // It was not taken over.
        if (process.env[PARENT] !== undefined) closeSync(Number(process.env[PARENT]));
        delete process.env[PARENT];
        delete process.env[SOCKET];
      },
    });
    const given = wrapAll(trap, [{ ...limited, peer, platform: undefined }]) as [object];
    return { run: () => FdChannel.fromParent(given[0]) };
  });
}
const spawned = (world: World): unknown[] => {
  const [first] = world.fds();
  return [
    "/bin/sh",
    ["-c", "exit"],
    { ...limited, peer: everybody, stdio: ["ignore", first.fd, "ignore"], env: { A: "1" }, cwd: "/" },
  ];
};
add("spawn", plain(spawn, spawned), { dear: true });

// One system call.

const SOCKETS: ((socket: MessageSocket) => unknown)[] = [(socket) => socket, (socket) => new Lent(socket)];
for (const kind of ["stream", "seqpacket", "datagram"] as const) {
  for (const [owner, as] of SOCKETS.entries()) {
    if (owner > 0 && kind !== "stream") continue;
    for (const data of payloads.slice(owner)) {
      add(
        "sendmsg",
        (world, trap) => {
          const socket = as(socketOf(world));
          const filled = world.ancillary !== null;
          const ancillary = world.ancillary ?? world.control(world.bytes(512));
          const added = trap.wrap([...world.fds()], "added");
          const options = { wait: true, timeout: 1000, flags: 0, address: undefined, platform: undefined };
          const given = wrapAll(trap, [socket, ...data(world), ancillary, options]) as Parameters<typeof sendmsg>;
          const run = () => {
            if (!filled) ancillary.addFds(added);
            return sendmsg(...given);
          };
          return { run };
        },
        { kind, moves: "sends", brief: kind !== "stream" },
      );
    }
    for (const list of owner > 0 ? [false] : [false, true]) {
      add(
        "recvmsg",
        (world, trap) => {
          const socket = as(receiving(world));
          const memory = list ? [world.bytes(3), world.bytes(5)] : [world.bytes(8)];
          const options = { wait: true, timeout: 1000, flags: 0, platform: undefined };
          const ancillary = world.ancillary ?? world.control(world.bytes(64));
          const given = wrapAll(trap, [socket, list ? memory : memory[0], ancillary, options]) as Parameters<
            typeof recvmsg
          >;
          return { run: () => recvmsg(...given), into: memory };
        },
        { kind, moves: "receives", brief: kind !== "stream" },
      );
    }
  }
}

const control = (world: World): SocketAncillary => world.ancillary ?? world.control(world.bytes(512));
add(
  "SocketAncillary#addFds",
  method(control, "addFds", (world) => [[...world.fds()]]),
);
add(
  "SocketAncillary#addCredentials",
  method(control, "addCredentials", () => [{ pid: process.pid, uid, gid: 0 }]),
);
add(
  "SocketAncillary#addMessage",
  method(control, "addMessage", (world) => [{ level: 1, type: 2, data: world.bytes(12) }]),
);
add(
  "SocketAncillary#addMessage",
  method(control, "addMessage", (world) => [{ level: 1, type: 1, data: world.bytes(4) }]),
);
add(
  "new SocketAncillary",
  plain(
    (...args: [number]) => new SocketAncillary(...args),
    (world) => [world.bytes(100), { platform: undefined }],
  ),
);
add(
  "SocketAncillary.bufferSizeForRights",
  plain(SocketAncillary.bufferSizeForRights, () => [3]),
);

add(
  "OwnedFd.from",
  plain(OwnedFd.from, (world) => [world.fds()[1]]),
);
add(
  "OwnedFd.from",
  plain(OwnedFd.from, (world) => [world.fds()[0]]),
);
add("OwnedFd.fromRaw", (world, trap) => {
  const number = OwnedFd.from(world.fds()[0].fd).release();
  let taken = false;
  world.keep({ close: () => taken || closeSync(number) });
  const [given] = wrapAll(trap, [number]) as [number];
  const run = () => {
    const owned = OwnedFd.fromRaw(given);
    taken = true;
    return owned;
  };
  return { run };
});

add(
  "memfd",
  plain(memfd, (world) => ["m", { data: world.bytes(9), size: 12, seal: ["write", "seal"], platform: undefined }]),
);
add(
  "memfd",
  plain(memfd, () => ["m", { data: "text", size: 12, seal: true }]),
);

// The service manager.

const manager = (world: World): UnixDatagram => {
  if (world.peer !== null) return world.peer as UnixDatagram;
  const bound = UnixDatagram.bind(socketPath());
  world.peer = world.keep(bound);
  process.env.NOTIFY_SOCKET = bound.address!;
  world.keep({ close: () => delete process.env.NOTIFY_SOCKET });
  return bound;
};
const told = (world: World): unknown[] => {
  manager(world);
  return [...world.fds()];
};
for (const state of [PAYLOAD, { PAY: "LOAD", STATUS: "x" }])
  add(
    "notify",
    plain(notify, (world) => [state, told(world), { signal: world.signal }]),
    { kind: "datagram", moves: state === PAYLOAD ? "sends" : null },
  );
add(
  "notifyBarrier",
  (world, trap) => {
    const [given] = wrapAll(trap, [{ timeout: 1000, signal: world.signal }]) as [object];
    const bound = manager(world);
    const run = () => {
      const done = notifyBarrier(given);
      bound.recvFds(1).then(
        (message) => message[Symbol.dispose](),
        () => {},
      );
      return done;
    };
    return { run };
  },
  { kind: "datagram" },
);
add(
  "listenFds",
  plain(listenFds, () => [{ unset: true }]),
);

/** Names that take nothing which could run code, by what they are. */
export const WITHOUT: Readonly<Record<string, readonly string[]>> = {
  "takes no argument": [
    "#fd",
    "#closed",
    "#address",
    "#peerAddress",
    "#ref",
    "#unref",
    "#close",
    "#[Symbol.dispose]",
    "#[Symbol.asyncDispose]",
    "#peerCredentials",
    "#peerPidfd",
    "#peerGroups",
    "#peerSecurity",
    "#fdRanges",
    "#queuedFds",
    "#queuedBytes",
    "#offset",
    "#capacity",
    "#length",
    "#truncated",
    "#reason",
    "#clear",
    "#release",
    "#dup",
    "#describe",
    ".bufferSizeForCredentials",
    "SocketAncillary#messages",
    "#[Symbol.asyncIterator]",
    "FdChannel#peer",
    "HandOffError#takeBack",
    "FdDuplex#position",
    "UServer#paused",
    // Of an argument of listen.
    "UServer#path",
    "UServer#backlog",
    "UServer#listening",
    "UServer#pause",
    "UServer#resume",
  ],
  "passes what it is given to Node's stream": ["FdDuplex#read", "USocket#end"],
  // What is written once more while it ends fails, as with every stream, and the first call with it.
  "prepares what it is given as FdDuplex#write does": ["FdDuplex#end"],
  // From its end, each element is read once; a number is checked when it is taken.
  "takes a list apart that it empties": ["USocket#unshift"],
  "makes an error, and calls nothing": ["new AncillaryError", "new ChannelError", "new HandOffError"],
};
