/**
 * The classes and events of the npm package `usocket`.
 *
 * @module unix-ancillary/usocket
 */

export * from "unix-ancillary/usocket";
