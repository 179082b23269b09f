/** The descriptors that a started program inherits. */

import { fs } from "./builtins.ts";
import type { Platform } from "./platform.ts";

/**
 * Calls `start`, which starts a program, while every descriptor except 0, 1 and 2 is CLOEXEC: the program inherits the descriptors
 * of its `stdio` and no others. Node sets the flag on descriptors that it opens and on the lowest inherited ones, but not on all.
 * Afterwards the former flags are restored.
 */
export function withoutInheritance<T>({ system, constants }: Platform, start: () => T): T {
  const { F_GETFD, F_SETFD, FD_CLOEXEC } = constants as Record<string, number>;
  const changed: number[] = [];
  for (const fd of openDescriptors()) {
    const flags = system.fcntl(fd, F_GETFD!, 0);
    if (flags < 0 || (flags & FD_CLOEXEC!) !== 0) continue;
    if (system.fcntl(fd, F_SETFD!, flags | FD_CLOEXEC!) >= 0) changed.push(fd);
  }
  try {
    return start();
  } finally {
    for (const fd of changed) {
      const flags = system.fcntl(fd, F_GETFD!, 0);
      if (flags >= 0) system.fcntl(fd, F_SETFD!, flags & ~FD_CLOEXEC!);
    }
  }
}

/** The open descriptors above 2. Empty where the system has no /dev/fd. */
function openDescriptors(): number[] {
  try {
    return fs
      .readdirSync("/dev/fd")
      .map(Number)
      .filter((fd) => fd > 2);
  } catch {
    return [];
  }
}
