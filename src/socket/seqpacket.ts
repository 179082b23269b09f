/** Connected AF_UNIX SOCK_SEQPACKET sockets: connected as streams are, with message boundaries. */

import type { Socket } from "node:net";
import { KEY } from "../core/errors.ts";
import type { OwnedFd } from "../fd/owned-fd.ts";
import type { Platform, PlatformOptions } from "../system/platform.ts";
import { openConnected, openConnectedSync, pairOf, takeConnected } from "./connect.ts";
import { ConnectedSocket, type ConnectOptions } from "./connected.ts";
import type { WaitOptions } from "./waiting.ts";

/** Makes a socket object of a connected socket that this thread owns. */
export let seqpacketOf: (platform: Platform, fd: number, passesPidfd: boolean) => UnixSeqpacket;

/**
 * A connected Unix socket that keeps message boundaries and carries descriptors. A record that is longer than the receive buffer is
 * `ERR_DATA_TRUNCATED` unless `allowTruncated`. A record is sent whole, or the send fails.
 *
 * FreeBSD 15 has a byte stream with marks instead (MSG_EOR, uipc_sosend_stream_or_seqpacket), which this class sets. There a send to a
 * receiver that has too little room takes a part, as on a stream: `sendFds` returns how many bytes, and `sendFdsAll` sends all. A
 * receive that does not have the end of a record counts as truncated, and the rest comes with the next one. So do records of programs
 * that do not pass MSG_EOR. A record longer than SO_SNDBUF becomes several.
 *
 * All functions that make such sockets fail with `ENOTSUP` where the system has none (Darwin).
 */
export class UnixSeqpacket extends ConnectedSocket {
  private constructor(key: typeof KEY, platform: Platform, fd: number, passesPidfd: boolean) {
    super(key, platform, fd, "seqpacket", passesPidfd);
  }

  static {
    seqpacketOf = (platform, fd, passesPidfd) => new UnixSeqpacket(KEY, platform, fd, passesPidfd);
  }

  /** Two sockets connected with each other. */
  static pair(options?: PlatformOptions): [UnixSeqpacket, UnixSeqpacket] {
    return pairOf("seqpacket", options, make);
  }

  /** Connects to a listener; waits while its backlog is full. A leading `\0` means the abstract namespace (Linux). */
  static connect(path: string, options?: ConnectOptions & PlatformOptions): Promise<UnixSeqpacket> {
    return openConnected("seqpacket", path, options, make);
  }

  /** {@link connect}, waiting in `poll(2)`. */
  static connectSync(path: string, options?: Pick<WaitOptions, "timeout"> & PlatformOptions): UnixSeqpacket {
    return openConnectedSync("seqpacket", path, options, make);
  }

  /** Takes over a connected seqpacket socket. @throws AncillaryError `ERR_NOT_UNIX_SOCKET` for anything else */
  static from(source: OwnedFd | Socket): UnixSeqpacket {
    return takeConnected(source, "seqpacket", make);
  }
}

const make = (platform: Platform, fd: number): UnixSeqpacket => seqpacketOf(platform, fd, false);
