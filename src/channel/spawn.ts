/** Child processes with a channel to their parent. */

import type { ChildProcess, SpawnOptions, StdioOptions } from "node:child_process";
import { wrongType } from "../core/errors.ts";
import { UnixStream } from "../socket/stream.ts";
import { childProcess } from "../system/builtins.ts";
import { withoutInheritance } from "../system/inherit.ts";
import { CHANNEL_VARIABLES, channelOver, type FdChannel, identityOf } from "./channel.ts";
import { type ChannelOptions, checkPeer, readChannelOptions } from "./options.ts";

/** A child process, and the channel to it. */
export interface Spawned {
  /** The process, as `child_process.spawn` returns it. */
  readonly child: ChildProcess;
  /** The `peer` of the channel is the child. */
  readonly channel: FdChannel;
}

/** Whether a value is the list of arguments, which may be omitted as in `child_process.spawn`. */
const isList = (value: readonly string[] | ChannelSpawnOptions): value is readonly string[] => Array.isArray(value);

/** The `stdio` option as a list of at least three entries. */
function stdioOf(stdio: StdioOptions | undefined): Exclude<StdioOptions, string> {
  if (Array.isArray(stdio)) {
    const list = [...stdio];
    while (list.length < 3) list.push("pipe");
    return list;
  }
  const all = stdio ?? "pipe";
  return [all, all, all] as Exclude<StdioOptions, string>;
}

/** The options of `child_process.spawn`, and the limits and policy of the channel. */
export type ChannelSpawnOptions = SpawnOptions & Omit<ChannelOptions, "platform">;

/**
 * Starts a program as `child_process.spawn` does, with one end of a channel. In the child, `FdChannel.fromParent()` returns it.
 * The child inherits it as the first descriptor after those of `stdio`; the variable `UNIX_ANCILLARY_CHANNEL_FD` has its number, and
 * `UNIX_ANCILLARY_CHANNEL_SOCKET` says which socket it is. The child inherits no other descriptor than those of `stdio`.
 *
 * If the program cannot be started, the child emits `"error"`, as in Node, and its channel is at its end.
 *
 * @throws what `child_process.spawn` throws; ChannelError `ERR_CHANNEL_PEER_REJECTED`, after killing the child
 */
export function spawn(command: string, args?: readonly string[], options?: ChannelSpawnOptions): Spawned;
export function spawn(command: string, options?: ChannelSpawnOptions): Spawned;
export function spawn(
  command: string,
  second: readonly string[] | ChannelSpawnOptions = [],
  third?: ChannelSpawnOptions,
): Spawned {
  const [args, options = {}] = isList(second) ? [second, third] : [[], second];
  if (typeof options !== "object" || options === null) throw wrongType("options", "an object", options);
  const { maxPayload, maxFds, frameTimeout, peer, acknowledges, ...rest } = options;
  const channelOptions = readChannelOptions({ maxPayload, maxFds, frameTimeout, peer, acknowledges });
  const [ours, theirs] = UnixStream.pair();
  try {
    const stdio = [...stdioOf(rest.stdio), theirs.fd];
    const [number, socket] = CHANNEL_VARIABLES;
    const { platform } = theirs;
    const given = rest.env ?? process.env;
    const env: NodeJS.ProcessEnv = {};
    // As in Node, what it inherits is included.
    for (const name in given) env[name] = given[name];
    env[number] = String(stdio.length - 1);
    env[socket] = identityOf(platform, theirs.fd);
    const all = { ...rest, stdio, env };
    const child = withoutInheritance(platform, () => childProcess().spawn(command, args, all));
    theirs.close();
    // For a pair the kernel reports its creator, this process: use the pid and ids of the child instead.
    const credentials =
      child.pid === undefined
        ? null
        : { pid: child.pid, uid: rest.uid ?? process.geteuid!(), gid: rest.gid ?? process.getegid!() };
    try {
      if (credentials !== null) checkPeer(ours, channelOptions.peer, credentials);
    } catch (error) {
      child.kill("SIGKILL");
      throw error;
    }
    return { child, channel: channelOver(ours, channelOptions, credentials) };
  } catch (error) {
    ours.close();
    theirs.close();
    throw error;
  }
}
