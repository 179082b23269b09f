/** The warning about descriptors that the garbage collector closed. */

import { now, timers } from "../system/builtins.ts";

let leaked = 0;
let reported = -Infinity;

/** Counts a descriptor. At most one warning a second reports the number. */
export function reportLeak(): void {
  if (leaked++ > 0) return;
  const wait = Math.max(0, reported + 1000 - now());
  const timer = timers.setTimeout(() => {
    const what = leaked === 1 ? "1 descriptor was" : `${leaked} descriptors were`;
    leaked = 0;
    reported = now();
    process.emitWarning(`${what} garbage-collected while open, and closed. Close them with close() or using.`, {
      type: "ResourceWarning",
      code: "UNIX_ANCILLARY_FD_LEAK",
    });
  }, wait);
  timer.unref();
}
