/**
 * Sockets, owned descriptors, channels, and any control message.
 *
 * @module unix-ancillary
 */

export * from "unix-ancillary";
