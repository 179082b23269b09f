/** How `unix-ancillary/stream`, `unix-ancillary/usocket` and `unix-ancillary/handoff` are called. */

import type { IncomingMessage } from "node:http";
import type { Server, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { FdChannel, OwnedFd, UnixStream } from "unix-ancillary";
import { HandOffError, handOff, handOffUpgrade, takeConnections } from "unix-ancillary/handoff";
import { FdDuplex } from "unix-ancillary/stream";
import { UServer, USocket } from "unix-ancillary/usocket";
import { type Arguments, add, method, type Recipe, wrapAll } from "./recipe.ts";
import { abstractName, PAYLOAD, type World } from "./world.ts";

/** A stream for each world, which is closed with it. */
function streamFor<T extends Duplex>(make: (world: World) => T): (world: World) => T {
  const made = new WeakMap<World, T>();
  return (world) => {
    let stream = made.get(world);
    if (stream === undefined) {
      stream = make(world);
      made.set(world, stream);
      const one = stream;
      // The callback of a write has the error.
      one.on("error", () => {});
      world.keep({ close: () => one.destroy() });
    }
    return stream;
  };
}

const duplex = streamFor((world) => new FdDuplex(world.connected() as UnixStream));

const usocket = streamFor((world) => {
  const socket = new USocket({ fd: OwnedFd.from(world.connected()).release() });
  world.subject = {
    get fd() {
      return socket.fd!;
    },
    get closed() {
      return socket.destroyed;
    },
    close: () => void socket.destroy(),
  };
  return socket;
});

/** A write, until its callback is called. */
const writing =
  (on: (world: World) => Duplex, args: Arguments): Recipe["make"] =>
  (world, trap) => {
    const stream = on(world);
    const given = wrapAll(trap, args(world)) as [unknown];
    const run = () =>
      new Promise<void>((resolve, reject) => {
        stream.write(...given, (error) => (error ? reject(error) : resolve()));
      });
    return { run };
  };

const sends = { moves: "sends", waits: true } as const;

add(
  "FdDuplex#write",
  writing(duplex, (world) => [world.bytes(PAYLOAD), { fds: [...world.fds()], encoding: "utf8" }]),
  sends,
);
add(
  "FdDuplex#takeFds",
  method(duplex, "takeFds", () => [0]),
);
add("new FdDuplex", (world, trap) => {
  const socket = world.connected() as UnixStream;
  const options = {
    allowHalfOpen: false,
    readableHighWaterMark: 10,
    writableHighWaterMark: 10,
    maxFds: 3,
    maxQueuedFds: 3,
  };
  const [given] = wrapAll(trap, [options]) as [object];
  return {
    run: () => {
      const stream = new FdDuplex(socket, given);
      world.keep({ close: () => stream.destroy() });
    },
  };
});

/** Numbers are the caller's: nothing protects them when it closes them. */
function numbers(world: World): number[] {
  const copies = world.fds().map((fd) => world.keep(OwnedFd.from(fd)).fd);
  world.uses.delete("fds");
  return copies;
}

add(
  "USocket#write",
  writing(usocket, (world) => [{ data: world.bytes(PAYLOAD), fds: numbers(world) }]),
  sends,
);
add(
  "USocket#read",
  method(usocket, "read", () => [null, 0]),
);
add("new USocket", (world, trap) => {
  const fd = OwnedFd.from(world.connected()).release();
  const [given] = wrapAll(trap, [{ fd, allowHalfOpen: true }]) as [{ fd: number }];
  return {
    run: () => {
      try {
        const socket = new USocket(given).on("error", () => {});
        world.keep({ close: () => socket.destroy() });
      } catch (error) {
        // It was not taken.
        OwnedFd.fromRaw(fd).close();
        throw error;
      }
    },
  };
});
add("USocket#connect", (world, trap) => {
  const socket = new USocket().on("error", () => {});
  world.keep({ close: () => socket.destroy() });
  const [given] = wrapAll(trap, [{ path: world.listening().address }]) as [{ path: string }];
  return { run: () => socket.connect(given) };
});
add("UServer#listen", (world, trap) => {
  const server = new UServer().on("error", () => {});
  world.keep(server);
  const [given] = wrapAll(trap, [{ path: abstractName(), backlog: 3 }]) as [{ path: string }];
  return { run: () => server.listen(given) };
});

/** A connection that is handed off, and closed with the world if it is not. */
function connection(world: World): Socket {
  const [ours, theirs] = UnixStream.pair();
  world.keep(theirs);
  const socket = ours.toSocket();
  // Not the caller's own.
  const { destroy } = socket;
  world.keep({ close: () => void destroy.call(socket) });
  return socket;
}

/** A connection that was not taken is taken back, and closed. */
async function closingWhatComesBack(done: Promise<void>): Promise<void> {
  try {
    await done;
  } catch (error) {
    if (error instanceof HandOffError) error.takeBack().destroy();
    throw error;
  }
}

const channels = new WeakMap<World, FdChannel>();
/** A channel whose other end takes every connection. */
function toWorker(world: World): FdChannel {
  const made = channels.get(world) ?? FdChannel.over(world.connected() as UnixStream);
  if (!channels.has(world)) {
    channels.set(world, made);
    const theirs = world.keep(FdChannel.over(world.peer as UnixStream));
    // As a worker that ends.
    takeConnections(theirs, (socket) => void socket.destroy()).catch(() => theirs.close());
  }
  return made;
}

add("handOff", (world, trap) => {
  const channel = toWorker(world);
  const [socket, head] = wrapAll(trap, [connection(world), world.bytes(PAYLOAD)]) as [Socket, Uint8Array];
  return { run: () => closingWhatComesBack(handOff(channel, socket, head)) };
});
add("handOffUpgrade", (world, trap) => {
  const channel = toWorker(world);
  const asked = { method: "GET", url: "/", httpVersion: "1.1", rawHeaders: ["Host", "x", "Upgrade", "x"] };
  const given = wrapAll(trap, [asked, connection(world), world.bytes(PAYLOAD)]);
  const [request, socket, head] = given as [IncomingMessage, Socket, Uint8Array];
  return { run: () => closingWhatComesBack(handOffUpgrade(channel, request, socket, head)) };
});
add("takeConnections", (world, trap) => {
  const channel = FdChannel.over(world.connected() as UnixStream);
  const theirs = world.keep(FdChannel.over(world.peer as UnixStream));
  closingWhatComesBack(handOff(theirs, connection(world)))
    .catch(() => {})
    .finally(() => theirs.close());
  const [options] = wrapAll(trap, [{ allowHalfOpen: true, noDelay: true }]) as [object];
  // A listener that throws is the program's own uncaught exception.
  const emit = (_: string, socket: Socket) => void socket.destroy();
  const server = Object.create(options, { emit: { value: emit } }) as Server;
  return { run: () => takeConnections(channel, server) };
});
