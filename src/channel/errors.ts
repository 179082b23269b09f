/** What goes wrong in a channel. */

/** What {@link ChannelError.code} can be. */
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

/** A condition of the protocol. {@link code} says which; the message names the numbers. */
export class ChannelError extends Error {
  /** Stable; the message is not. */
  readonly code: ChannelErrorCode;

  constructor(code: ChannelErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }

  static {
    Object.defineProperty(ChannelError.prototype, "name", {
      value: "ChannelError",
      configurable: true,
      writable: true,
    });
  }
}
