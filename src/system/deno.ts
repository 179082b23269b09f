/** The descriptors that Deno's `node:fs` has opened. */

import { fs, onDeno } from "./builtins.ts";
import { errnoError } from "./errno.ts";
import { FILE_STATUS, type System } from "./system.ts";

/**
 * Deno's `node:fs` keeps a table of the descriptors that it opened. If one is closed by anything else, the table keeps the number: then
 * `openSync` returns it again and it does not work, and `closeSync` of it closes whatever has the number by then.
 *
 * So a descriptor of that table is replaced by a duplicate, usually with the same number, after `node:fs` has closed its own. Elsewhere
 * nothing happens.
 *
 * @param fd a descriptor that this thread owns
 * @returns the number that the caller owns instead
 * @throws SystemError `EMFILE`; then `fd` is open and has no owner
 */
export function withdrawn(system: System, fd: number): number {
  if (!onDeno || !isInTable(fd)) return fd;
  const copy = system.dup(fd);
  system.disown(fd);
  if (copy < 0) throw errnoError(copy, "fcntl");
  try {
    fs.closeSync(fd);
  } catch (error) {
    system.close(copy);
    throw error;
  }
  if (sameFile(system, fd, copy)) {
    // Deno inherited it as a child's stdio: then it forgets the number, and does not close it.
    system.own(fd);
    system.close(copy);
    return fd;
  }
  // The number is free: usually it is the lowest one.
  const again = system.dup(copy);
  if (again < 0) return copy;
  system.close(copy);
  return again;
}

function sameFile(system: System, a: number, b: number): boolean {
  const [first, second] = [new BigUint64Array(FILE_STATUS.LENGTH), new BigUint64Array(FILE_STATUS.LENGTH)];
  if (system.fstat(a, first) < 0 || system.fstat(b, second) < 0) return false;
  return [FILE_STATUS.DEVICE, FILE_STATUS.INODE].every((field) => first[field] === second[field]);
}

/** Whether Deno's `node:fs` has opened a descriptor: it knows no other, except for 0, 1 and 2, which it never closes. */
function isInTable(fd: number): boolean {
  if (fd <= 2) return false;
  try {
    fs.fstatSync(fd);
    return true;
  } catch {
    return false;
  }
}
