/** Descriptors that their owners keep: what a send takes. */

import type { Socket as DatagramSocket } from "node:dgram";
import type { Server, Socket } from "node:net";
import { AncillaryError, describe, outOfRange, wrongType } from "../core/errors.ts";
import { isHostPlatform, type Platform } from "../system/platform.ts";

/**
 * A descriptor its caller keeps owning: a number, or anything with an `fd` (OwnedFd, FileHandle, fs streams, the sockets
 * of this library), or a Node handle. It is read at the moment of the system call, never earlier: an owner that is closed
 * while its send is still queued makes that send fail with `ERR_FD_CLOSED`, and another file that got the same number is
 * never sent in its place. A bare number cannot be guarded so: it must stay open until the promise settles.
 *
 * A net.Socket with bytes that the program has not read is refused, and so is a TLSSocket: these would not go along.
 */
export type AsFd = number | { readonly fd: number } | Socket | Server | DatagramSocket;

/** How to look into an object of this library that owns a descriptor. Its functions run no code of the caller's. */
export interface OwnerClass {
  has(source: object): boolean;
  /** -1 once it is closed. */
  fd(source: object): number;
  platform(source: object): Platform;
}

/** OwnedFd and the sockets stand above this file, and say here what they are. Two variables: V8 inlines each. */
let ownedFd: OwnerClass;
let socket: OwnerClass | null = null;

export function setOwnedFdClass(ownerClass: OwnerClass): void {
  ownedFd = ownerClass;
}

export function setSocketClass(ownerClass: OwnerClass): void {
  socket = ownerClass;
}

/** What `source` is of this library; null: another thing. No trap of a Proxy runs: it is none of ours. */
export function ownerClassOf(source: unknown): OwnerClass | null {
  if (typeof source !== "object" || source === null) return null;
  if (ownedFd.has(source)) return ownedFd;
  return socket?.has(source) ? socket : null;
}

/**
 * Copies a list of at most `most` descriptors: what the caller does to it afterwards changes nothing.
 *
 * @param single an array of one element, which is used where there is one descriptor
 * @throws TypeError for what is no list; RangeError `ERR_TOO_MANY_FDS`
 */
export function copyFds(fds: unknown, most: number = Infinity, single?: AsFd[]): AsFd[] {
  if (!Array.isArray(fds)) throw wrongType("fds", "an array of descriptors", fds);
  const count = fds.length;
  if (count > most) throw tooMany(most, count);
  if (count === 1 && single !== undefined) {
    single[0] = fds[0] as AsFd;
    return single;
  }
  const copy = new Array<AsFd>(count);
  for (let i = 0; i < count; i++) copy[i] = fds[i] as AsFd;
  return copy;
}

/** `RangeError: "fds" expected at most 253 descriptors in one message, got 300 (number)`. */
export function tooMany(most: number, count: number): RangeError {
  return outOfRange("fds", `at most ${most} descriptors in one message`, count, "ERR_TOO_MANY_FDS");
}

/** What {@link readNumbers} answers for descriptors that need no code of the caller's. */
export const NO_NUMBERS: readonly number[] = [];

/**
 * Reads the numbers of descriptors as far as code of the caller's is needed for it: {@link numberOf} reads the others at the last
 * moment.
 *
 * @throws as {@link resolveFd}
 */
export function readNumbers(platform: Platform, fds: readonly AsFd[]): readonly number[] {
  let numbers: number[] | null = null;
  for (let i = 0; i < fds.length; i++) {
    const fd = fds[i]!;
    if (typeof fd === "number" || ownerClassOf(fd) !== null) continue;
    numbers ??= new Array<number>(fds.length).fill(-1);
    numbers[i] = resolveFd(platform, fd, "fds", i);
  }
  return numbers ?? NO_NUMBERS;
}

/**
 * The number of a descriptor now. No code of the caller's runs.
 *
 * @param numbers what {@link readNumbers} read of the list
 * @throws as {@link resolveFd}
 */
export function numberOf(platform: Platform, fds: readonly AsFd[], numbers: readonly number[], i: number): number {
  const fd = fds[i]!;
  if (typeof fd === "number") return checkNumber(fd, "fds", i);
  const ownerClass = ownerClassOf(fd);
  return ownerClass === null ? numbers[i]! : ownedNumber(platform, ownerClass, fd, "fds", i);
}

/** Throws what {@link numberOf} would throw for one of a list. */
export function checkNumbers(platform: Platform, fds: readonly AsFd[], numbers: readonly number[]): void {
  for (let i = 0; i < fds.length; i++) numberOf(platform, fds, numbers, i);
}

/**
 * The number behind `fd`, now.
 *
 * @throws AncillaryError `ERR_FD_CLOSED` when its owner is closed, `ERR_FOREIGN_PLATFORM` when it is a descriptor of another
 *   platform
 * @throws TypeError when it is no descriptor, for a TLSSocket, and for a net.Socket with unread bytes
 */
export function resolveFd(platform: Platform, fd: unknown, name: string, index = -1): number {
  if (typeof fd === "number") return checkNumber(fd, name, index);
  const ownerClass = ownerClassOf(fd);
  if (ownerClass !== null) return ownedNumber(platform, ownerClass, fd as object, name, index);
  if (typeof fd !== "object" || fd === null)
    throw wrongType(element(name, index), "a descriptor, or an object that has one", fd);
  const number: unknown = "fd" in fd ? fd.fd : handleFd(platform, fd, element(name, index));
  // A FileHandle says -1, a stream of node:fs null, a handle of node:net has gone, one of node:dgram that is not bound has an
  // error for a number: closed, or not opened yet.
  if (number === null || (typeof number === "number" && number < 0)) checkOpen(-1, fd, name, index);
  if (!isFd(number)) throw wrongType(element(name, index), "a descriptor, or an object that has one", fd);
  return number;
}

/**
 * The number of what this library owns, now. No code of the caller's runs.
 *
 * @throws AncillaryError `ERR_FD_CLOSED`, `ERR_FOREIGN_PLATFORM`
 */
export function ownedNumber(
  platform: Platform,
  ownerClass: OwnerClass,
  source: object,
  name: string,
  index = -1,
): number {
  if (ownerClass.platform(source) !== platform) throw foreign(element(name, index));
  return checkOpen(ownerClass.fd(source), source, name, index);
}

function checkNumber(fd: number, name: string, index: number): number {
  if (!isFd(fd)) throw outOfRange(element(name, index), "a descriptor, an integer of at least 0", fd);
  return fd;
}

function checkOpen(number: number, source: unknown, name: string, index: number): number {
  if (number !== -1) return number;
  throw new AncillaryError(
    "ERR_FD_CLOSED",
    `"${element(name, index)}" expected an open descriptor, got ${describe(source)}, which is closed or not open yet`,
  );
}

function foreign(name: string): AncillaryError {
  return new AncillaryError(
    "ERR_FOREIGN_PLATFORM",
    `"${name}" expected a descriptor of the platform that the call is made on, got one of another`,
  );
}

const element = (name: string, index: number): string => (index === -1 ? name : `${name}[${index}]`);

/** Whether a value can be a descriptor: a larger number would lose its upper bits on the way, and name another one. */
function isFd(value: unknown): value is number {
  return typeof value === "number" && (value | 0) === value && value >= 0;
}

/** The number in the handle of a net.Socket, net.Server or dgram.Socket; null: it has no handle; undefined: none of those. */
function handleFd(platform: Platform, source: object, name: string): number | null | undefined {
  // dgram keeps its handle behind a symbol; its `_handle` is deprecated (DEP0112) and warns.
  const state = Object.getOwnPropertySymbols(source).find((symbol) => symbol.description === "state symbol");
  const owner = state === undefined ? source : (source as Record<symbol, object>)[state]!;
  const key = state === undefined ? "_handle" : "handle";
  if (!(key in owner)) return undefined;
  if (!isHostPlatform(platform)) throw foreign(name);
  checkUnread(source, name);
  const handle = (owner as Record<string, { fd?: number } | null>)[key];
  return handle === null ? null : handle?.fd;
}

/**
 * Checks that a net.Socket is no more than its descriptor: bytes that Node has read and the program has not stay in this process,
 * and so does the state of TLS.
 *
 * @throws TypeError
 */
function checkUnread(source: object, name: string): void {
  if ("encrypted" in source) throw wrongType(name, "a net.Socket without TLS, whose keys stay in this process", source);
  const { readableLength = 0 } = source as Partial<Socket>;
  if (readableLength > 0) {
    const expected = `a net.Socket without unread bytes: ${readableLength} are read already and would not go along; use pauseOnConnect, or read them first`;
    throw wrongType(name, expected, source);
  }
}
