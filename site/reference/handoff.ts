/**
 * Accepted connections for other processes.
 *
 * @module unix-ancillary/handoff
 */

export * from "unix-ancillary/handoff";
