/** Children with a channel to their parent. */

import type { ChildProcess, SpawnOptions, StdioOptions } from "node:child_process";
import { wrongType } from "../core/errors.ts";
import { UnixStream } from "../socket/stream.ts";
import { childProcess } from "../system/builtins.ts";
import { type ChannelOptions, channelOver, checkPeer, type FdChannel, PARENT, readChannelOptions } from "./channel.ts";

/** A child that was started, and the channel to it. */
export interface Spawned {
  readonly child: ChildProcess;
  /** Its `peer` is the child. */
  readonly channel: FdChannel;
}

/** As in `child_process.spawn`, the arguments can be left out. */
const isList = (value: readonly string[] | ChannelSpawnOptions): value is readonly string[] => Array.isArray(value);

/** What the child has at 0, 1 and 2, and what else it was given. */
function stdioOf(stdio: StdioOptions | undefined): Exclude<StdioOptions, string> {
  if (Array.isArray(stdio)) {
    const given = [...stdio];
    while (given.length < 3) given.push("pipe");
    return given;
  }
  const all = stdio ?? "pipe";
  return [all, all, all] as Exclude<StdioOptions, string>;
}

/** Of `child_process.spawn`, and the limits and the policy of the channel. */
export type ChannelSpawnOptions = SpawnOptions & Omit<ChannelOptions, "platform">;

/**
 * Starts a program as `child_process.spawn` does, with one end of a channel: `FdChannel.fromParent()` there. The child inherits
 * it at the first descriptor behind those of `stdio`, which the variable `UNIX_ANCILLARY_CHANNEL_FD` names, and nothing else.
 *
 * A program that cannot be started is the child's `"error"` event, as ever; its channel is at its end then.
 *
 * @throws what `child_process.spawn` throws; ChannelError `ERR_CHANNEL_PEER_REJECTED`, the child is killed then
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
  const { maxPayload, maxFds, frameTimeout, peer, ...rest } = options;
  const channelOptions = readChannelOptions({ maxPayload, maxFds, frameTimeout, peer });
  const [ours, theirs] = UnixStream.pair();
  try {
    const stdio = [...stdioOf(rest.stdio), theirs.fd];
    const env = { ...(rest.env ?? process.env), [PARENT]: String(stdio.length - 1) };
    const child = childProcess().spawn(command, args, { ...rest, stdio, env });
    theirs.close();
    // The kernel names the maker of a pair, which is this process: the child is known otherwise.
    const who =
      child.pid === undefined
        ? null
        : { pid: child.pid, uid: rest.uid ?? process.geteuid!(), gid: rest.gid ?? process.getegid!() };
    try {
      if (who !== null) checkPeer(ours, channelOptions.peer, who);
    } catch (error) {
      child.kill("SIGKILL");
      throw error;
    }
    return { child, channel: channelOver(ours, channelOptions, who) };
  } catch (error) {
    ours.close();
    theirs.close();
    throw error;
  }
}
