/** Errors of channels. */

import { nameErrors } from "../core/errors.ts";

/** The values of {@link ChannelError.code}. */
export type ChannelErrorCode =
  | "ERR_CHANNEL_CLOSED"
  | "ERR_CHANNEL_FD_COUNT"
  | "ERR_CHANNEL_FLAGS"
  | "ERR_CHANNEL_MAGIC"
  | "ERR_CHANNEL_PAYLOAD_TOO_LARGE"
  | "ERR_CHANNEL_PEER_REJECTED"
  | "ERR_CHANNEL_POISONED"
  | "ERR_CHANNEL_TIMEOUT"
  | "ERR_CHANNEL_TOO_MANY_FDS"
  | "ERR_CHANNEL_UNEXPECTED_EOF"
  | "ERR_CHANNEL_VERSION"
  | "ERR_NO_PARENT";

/** An error of the channel's protocol, identified by {@link code}; the message has the details. */
export class ChannelError extends Error {
  /** Stable across versions; the message is not. */
  readonly code: ChannelErrorCode;

  /** @param options `cause`: the error that led to this one */
  constructor(code: ChannelErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }

  static {
    nameErrors(ChannelError.prototype, "ChannelError");
  }
}
