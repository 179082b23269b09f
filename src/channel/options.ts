/** The options of a channel, and the policy for its peer. */

import { type Checks, integer, outOfRange, readOptions, wrongType } from "../core/errors.ts";
import { type Credentials, isUnmapped } from "../message/credentials.ts";
import { TIMEOUT } from "../socket/waiting.ts";
import { PLATFORM, type Platform } from "../system/platform.ts";
import { ChannelError } from "./errors.ts";
import { type Frame, MAX_FDS, MAX_PAYLOAD } from "./frame.ts";

/**
 * The accepted peers: those with these numbers, of which at least one is given; or those for which the function returns `true`
 * (not a promise).
 */
export type PeerPolicy =
  | { readonly uid?: number | undefined; readonly gid?: number | undefined; readonly pid?: number | undefined }
  | ((credentials: Credentials) => boolean);

/** Limits of a channel, in both directions, and its policy. */
export interface ChannelOptions {
  /** The most bytes of payload in a frame; 16 MiB by default. */
  maxPayload?: number | undefined;
  /** The most descriptors in a frame; by default as many as the system can send in one message. */
  maxFds?: number | undefined;
  /** The most milliseconds between the first and the last byte of a received frame; no limit by default. */
  frameTimeout?: number | undefined;
  /** The accepted peers; all by default. With a policy, a peer whose credentials the system does not report is rejected. */
  peer?: PeerPolicy | undefined;
  /**
   * Reads an acknowledgement of the peer's program from a received frame: the id of the last frame that the peer has received, as
   * `send` returned it here and `messageId` showed it there; null if the frame acknowledges nothing. With this option, the channel sends
   * duplicates of the descriptors, and keeps them until the frame is acknowledged or the channel is closed: macOS makes a socket useless
   * that was closed by its sender before it was received. At most 1024 (or `maxFds`) are kept.
   */
  acknowledges?: ((frame: Frame) => bigint | null) | undefined;
  /** For `pair`: the platform of the sockets, such as a virtual kernel in tests. */
  platform?: Platform | undefined;
}

const POLICY: Checks = {
  uid: (name, value) => void integer(name, value, 0, 0xfffffffe),
  gid: (name, value) => void integer(name, value, 0, 0xfffffffe),
  pid: (name, value) => void integer(name, value, 1, 0x7fffffff),
};

/** Checks for the options of every function that creates a channel. */
const CHANNEL: Checks = {
  maxPayload: (name, value) => void integer(name, value, 0, MAX_PAYLOAD),
  maxFds: (name, value) => void integer(name, value, 0, MAX_FDS),
  frameTimeout: TIMEOUT.timeout!,
  peer(name, value) {
    if (typeof value !== "function" && (typeof value !== "object" || value === null))
      throw wrongType(name, "an object of uid, gid and pid, or a function", value);
  },
  acknowledges(name, value) {
    if (typeof value !== "function") throw wrongType(name, "a function", value);
  },
  ...PLATFORM,
};

/** Reads the options of every function that creates a channel, those of the policy too, once each. */
export function readChannelOptions(given: ChannelOptions | undefined): ChannelOptions {
  const options = readOptions("options", given, CHANNEL);
  const { peer } = options;
  if (typeof peer !== "object") return options;
  const policy = readOptions("options.peer", peer, POLICY);
  // A policy whose numbers are all undefined is a mistake, and must not accept every peer.
  if (Object.keys(policy).length === 0)
    throw outOfRange(
      "options.peer",
      `at least one of ${Object.keys(POLICY).join(", ")}`,
      peer,
      "ERR_INVALID_ARG_VALUE",
    );
  return { ...options, peer: policy };
}

/** Applies a policy. @throws ChannelError `ERR_CHANNEL_PEER_REJECTED`, after closing the socket */
export function checkPeer(
  socket: { close(): void },
  policy: PeerPolicy | undefined,
  peer: Credentials | null,
  cause?: unknown,
): void {
  if (policy === undefined) return;
  let allowed: boolean;
  try {
    allowed = peer !== null && isAllowed(policy, peer);
  } catch (error) {
    socket.close();
    throw error;
  }
  if (allowed) return;
  socket.close();
  const description =
    peer === null
      ? "a peer whose credentials the system does not report"
      : `pid ${peer.pid}, uid ${peer.uid}, gid ${peer.gid}`;
  throw new ChannelError("ERR_CHANNEL_PEER_REJECTED", `expected a peer that the policy allows, got ${description}`, {
    cause,
  });
}

/** False if the policy asks for a group and the peer's is the one that stands for those that are not mapped here. */
export function namesGroup(platform: Platform, policy: PeerPolicy | undefined, peer: Credentials | null): boolean {
  return (
    typeof policy !== "object" || policy.gid === undefined || peer === null || !isUnmapped(platform, "gid", peer.gid)
  );
}

function isAllowed(policy: PeerPolicy, peer: Credentials): boolean {
  if (typeof policy !== "function")
    return (["uid", "gid", "pid"] as const).every((name) => policy[name] === undefined || policy[name] === peer[name]);
  const allowed: unknown = policy(peer);
  // A promise would be truthy.
  if (typeof allowed !== "boolean") throw wrongType("options.peer", "a function that returns a boolean", allowed);
  return allowed;
}
