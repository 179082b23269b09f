/** What `console.log` shows of descriptors and sockets: the number, the state, and what it is. */

import { isHostPlatform, type Platform } from "../system/platform.ts";
import { describeFd } from "./describe.ts";

/** Files whose names are paths. */
const WITH_PATHS: readonly string[] = ["file", "directory", "character-device", "block-device"];

/** A descriptor that an object owns; -1 after it was closed or released. */
export function shownFd(platform: Platform, fd: number): object {
  if (fd < 0) return { state: "closed or released" };
  // The system calls of a virtual kernel are counted: to print an object must not change which of them fails.
  if (!isHostPlatform(platform)) return { fd, state: "open", platform: platform.abi.name };
  const description = describeFd(platform, fd);
  if (typeof description === "number") return { fd, state: "not open: other code has closed it" };
  const path = WITH_PATHS.includes(description.kind) ? platform.system.fdLink(fd) : null;
  return { fd, state: "open", ...description, ...(path === null ? {} : { path }) };
}

/** A socket; -1 after it was closed. `waiting`: its operations that wait. */
export function shownSocket(platform: Platform, fd: number, waiting: number): object {
  if (fd < 0) return { state: "closed" };
  const shown = { fd, state: "open", waiting };
  if (!isHostPlatform(platform)) return { ...shown, platform: platform.abi.name };
  const description = describeFd(platform, fd);
  if (typeof description === "number") return { ...shown, state: "not open: other code has closed it" };
  if (description.socket === undefined)
    return {
      ...shown,
      state: `not a socket: other code has closed it, and the number is that of a ${description.kind}`,
    };
  const { listening, type, address } = description.socket;
  return { ...shown, state: listening ? "listening" : "open", type, address };
}
