/** Connected AF_UNIX SOCK_SEQPACKET sockets: connected as streams are, with message boundaries. */

import type { Socket } from "node:net";
import type { OwnedFd } from "../fd/owned-fd.ts";
import { type Platform, type PlatformOptions, platformFrom, readPlatform } from "../system/platform.ts";
import { openConnected, openConnectedSync, ownerOf, pairOf, takeConnected } from "./connect.ts";
import { ConnectedSocket, type ConnectOptions } from "./connected.ts";
import { SIGNAL } from "./endpoint.ts";

/** Makes a socket object of a connected socket that this thread owns. */
export let seqpacketOf: (platform: Platform, fd: number, passesPidfd: boolean) => UnixSeqpacket;

/**
 * A connected Unix socket that keeps message boundaries and carries descriptors. A record that is longer than the receive buffer is
 * `ERR_DATA_TRUNCATED` unless `allowTruncated`. A record is sent whole, or the send fails.
 *
 * All functions that make such sockets fail with `ENOTSUP` where the system has none (Darwin).
 */
export class UnixSeqpacket extends ConnectedSocket {
  private constructor(platform: Platform, fd: number, passesPidfd = false) {
    super(platform, fd, "seqpacket", passesPidfd);
  }

  static {
    seqpacketOf = (platform, fd, passesPidfd) => new UnixSeqpacket(platform, fd, passesPidfd);
  }

  /** Two sockets connected with each other. */
  static pair(options?: PlatformOptions): [UnixSeqpacket, UnixSeqpacket] {
    const platform = platformFrom(options);
    return pairOf(platform, "seqpacket", make);
  }

  /** Connects to a listener; waits while its backlog is full. A leading `\0` means the abstract namespace (Linux). */
  static async connect(path: string, options?: ConnectOptions & PlatformOptions): Promise<UnixSeqpacket> {
    const {
      platform,
      options: { signal },
    } = readPlatform(options, SIGNAL);
    return ownerOf(platform, await openConnected(platform, "seqpacket", path, signal), make);
  }

  /** {@link connect}, waiting in `connect(2)`. */
  static connectSync(path: string, options?: PlatformOptions): UnixSeqpacket {
    const platform = platformFrom(options);
    return ownerOf(platform, openConnectedSync(platform, "seqpacket", path), make);
  }

  /** Takes over a connected seqpacket socket. @throws AncillaryError `ERR_NOT_UNIX_SOCKET` for anything else */
  static from(source: OwnedFd | Socket): UnixSeqpacket {
    return takeConnected(source, "seqpacket", make);
  }
}

const make = (platform: Platform, fd: number): UnixSeqpacket => seqpacketOf(platform, fd, false);
