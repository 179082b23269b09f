/** The public exports of `unix-ancillary/usocket`: the classes and events of the npm package `usocket` 1.1, over this library. */

export { type UListenOptions, UServer } from "./server.ts";
export { type URead, USocket, type USocketOptions, type UWriteOptions } from "./socket.ts";
