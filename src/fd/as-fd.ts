/** Descriptors that their owners keep: what a send takes. */

import type { Socket as DatagramSocket } from "node:dgram";
import type { Server, Socket } from "node:net";
import { AncillaryError, describe, outOfRange, wrongType } from "../core/errors.ts";

/**
 * A descriptor its caller keeps owning: a number, or anything with an `fd` (OwnedFd, FileHandle, fs streams, the sockets
 * of this library), or a Node handle. It is read at the moment of the system call, never earlier: an owner that is closed
 * while its send is still queued makes that send fail with `ERR_FD_CLOSED`, and another file that got the same number is
 * never sent in its place. A bare number cannot be guarded so: it must stay open until the promise settles.
 */
export type AsFd = number | { readonly fd: number } | Socket | Server | DatagramSocket;

/**
 * The number behind `fd`, now.
 *
 * @throws AncillaryError `ERR_FD_CLOSED` when its owner is closed
 * @throws TypeError when it is no descriptor
 */
export function resolveFd(fd: AsFd, name = "fd"): number {
  if (typeof fd === "number") {
    if (!isFd(fd)) throw outOfRange(name, "a descriptor, an integer of at least 0", fd);
    return fd;
  }
  if (typeof fd !== "object" || fd === null) {
    throw wrongType(name, "a descriptor, or an object that has one", fd);
  }
  const number = "fd" in fd ? fd.fd : handleFd(fd);
  if (isFd(number)) return number;
  // A FileHandle says -1, a stream of node:fs null, a handle of node:net has gone, one of node:dgram that is not bound has an
  // error for a number: closed, or not opened yet.
  if (number === null || (typeof number === "number" && number < 0)) {
    throw new AncillaryError(
      "ERR_FD_CLOSED",
      `"${name}" expected an open descriptor, got ${describe(fd)}, which is closed or not open yet`,
    );
  }
  throw wrongType(name, "a descriptor, or an object that has one", fd);
}

/** Whether a value can be a descriptor: a larger number would lose its upper bits on the way, and name another one. */
function isFd(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 0x7fffffff;
}

/** Of net.Socket, net.Server, dgram.Socket: the number in their handle; null: no handle; undefined: none of those. */
function handleFd(source: object): number | null | undefined {
  // dgram keeps its handle behind a symbol; its `_handle` is deprecated (DEP0112) and warns.
  const state = Object.getOwnPropertySymbols(source).find((symbol) => symbol.description === "state symbol");
  const owner = state === undefined ? source : (source as Record<symbol, object>)[state]!;
  const key = state === undefined ? "_handle" : "handle";
  if (!(key in owner)) return undefined;
  const handle = (owner as Record<string, { fd?: number } | null>)[key];
  return handle === null ? null : handle?.fd;
}
