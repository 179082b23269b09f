/**
 * Processes and Unix sockets in memory, with the rules of seven systems and faults on demand.
 *
 * @module unix-ancillary/testing
 */

export * from "unix-ancillary/testing";
