/** The public exports of `unix-ancillary/stream`. */

export { FdDuplex, type FdDuplexOptions, type FdWriteOptions } from "./fd-duplex.ts";
