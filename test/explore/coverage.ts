/** Which methods of the public API the scenarios call. */

import { EventEmitter } from "node:events";
import { Duplex } from "node:stream";
import { inspect } from "node:util";
import * as library from "unix-ancillary";
import { FdDuplex } from "unix-ancillary/stream";
import { UServer, USocket } from "unix-ancillary/usocket";

/** What lives in this process and nowhere else: descriptors by number, Node's own sockets, children, the environment. */
const OF_THIS_PROCESS = ["OwnedFd.fromRaw", "OwnedFd.from", "UnixStream.toSocket", "FdChannel.fromParent"];
/** Of a size: it depends on nothing that can fail. */
const PURE = ["SocketAncillary.bufferSizeForRights", "SocketAncillary.bufferSizeForCredentials"];
/** Not public, though JavaScript sees them. */
const INTERNAL = [
  "Endpoint.handOver",
  "Endpoint.handedOver",
  "Endpoint.idle",
  "Endpoint.openFd",
  "Endpoint.runSync",
  "Endpoint.submit",
  "Endpoint.tryNow",
  "Endpoint.turn",
  "ConnectedSocket.handOver",
  "MessageSocket.receiveOperation",
  "MessageSocket.sendOperation",
  "FdReader.discard",
  "FdReader.newestFds",
  "FdReader.rangeBefore",
  "FdReader.rangesSince",
  "FdReader.readNow",
];

/** Where the classes of the library end. */
const NODES: readonly unknown[] = [Function.prototype, Duplex, EventEmitter];

type Methods = Record<PropertyKey, unknown>;

/** The methods that are not called while `run` does; by class, as it declares them. */
export async function uncalled(run: () => Promise<void>): Promise<string[]> {
  const missing = new Set<string>();
  const restore: (() => void)[] = [];
  const seen = new Set<object>();
  const watch = (owner: Methods, label: string): void => {
    if (seen.has(owner)) return;
    seen.add(owner);
    for (const key of Reflect.ownKeys(owner)) {
      const name = `${label}.${String(key)}`;
      const property = Object.getOwnPropertyDescriptor(owner, key)!;
      // What `console.log` shows makes no system call on a virtual kernel.
      if (
        key === "constructor" ||
        key === inspect.custom ||
        typeof property.value !== "function" ||
        property.writable === false
      )
        continue;
      if ([...OF_THIS_PROCESS, ...PURE, ...INTERNAL].includes(name)) continue;
      const { value } = property;
      missing.add(name);
      owner[key] = function (this: unknown, ...args: unknown[]) {
        missing.delete(name);
        return Reflect.apply(value, this, args);
      };
      restore.push(() => Object.defineProperty(owner, key, property));
    }
  };
  for (const value of [...Object.values(library), FdDuplex, UServer, USocket] as unknown[]) {
    // Classes; errors are made by Node's own code.
    if (typeof value !== "function" || !/^class\b/.test(String(value)) || value.prototype instanceof Error) continue;
    for (let one = value; !NODES.includes(one); one = Object.getPrototypeOf(one)) {
      watch(one as unknown as Methods, one.name);
      watch(one.prototype, one.name);
    }
  }
  try {
    await run();
  } finally {
    for (const undo of restore) undo();
  }
  return [...missing];
}
