/**
 * The codec and the ABI table, for any JavaScript host.
 *
 * @module unix-ancillary/core
 */

export * from "unix-ancillary/core";
