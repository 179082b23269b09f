/**
 * Streams of Node over a Unix stream socket.
 *
 * @module unix-ancillary/stream
 */

export * from "unix-ancillary/stream";
