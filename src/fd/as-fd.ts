/** Descriptors that a send takes, and that stay with their owners. */

import type { Socket as DatagramSocket } from "node:dgram";
import type { Server, Socket } from "node:net";
import { AncillaryError, describe, outOfRange, wrongType } from "../core/errors.ts";
import { isHostPlatform, type Platform } from "../system/platform.ts";

/**
 * A descriptor that the caller keeps owning: a number, an object with an `fd` (OwnedFd, FileHandle, fs streams, the sockets of this
 * library), or a socket or server of Node. The number is read right before the system call. If the owner is closed while the send is
 * queued, the send fails with `ERR_FD_CLOSED`, and no other file with the same number is sent in its place. A bare number has no
 * such protection: it must stay open until the promise settles.
 *
 * A net.Socket with unread bytes and a TLSSocket are refused: the bytes, and the state of TLS, would not be sent.
 */
export type AsFd = number | { readonly fd: number } | Socket | Server | DatagramSocket;

/** Access to the objects of this library that own a descriptor. The functions run no code of the caller's. */
export interface OwnerClass {
  has(source: object): boolean;
  /** -1 after it was closed. */
  fd(source: object): number;
  platform(source: object): Platform;
}

/** OwnedFd and the sockets import this file and register here. There are two variables, and no list, so that V8 inlines the calls. */
let ownedFd: OwnerClass;
let socket: OwnerClass | null = null;

export function setOwnedFdClass(ownerClass: OwnerClass): void {
  ownedFd = ownerClass;
}

export function setSocketClass(ownerClass: OwnerClass): void {
  socket = ownerClass;
}

/** The class of an owner of this library; null for anything else. A Proxy is no owner, and none of its traps runs. */
export function ownerClassOf(source: unknown): OwnerClass | null {
  if (typeof source !== "object" || source === null) return null;
  if (ownedFd.has(source)) return ownedFd;
  return socket?.has(source) ? socket : null;
}

/**
 * The same for what is most often a socket. V8 does not inline the test for an OwnedFd where it fails: 97 instructions for each call
 * (2026-11-30, Node 20).
 */
export function socketClassOf(source: unknown): OwnerClass | null {
  if (typeof source !== "object" || source === null) return null;
  return socket?.has(source) ? socket : ownerClassOf(source);
}

/**
 * Copies a list of at most `most` descriptors, so that later changes to it have no effect.
 *
 * @param single an array of one element, which is returned for a list of one descriptor
 * @throws TypeError for anything else than an array; RangeError `ERR_TOO_MANY_FDS`
 */
export function copyFds(fds: unknown, most: number = Infinity, single?: AsFd[]): readonly AsFd[] {
  if (!Array.isArray(fds)) throw noList(fds);
  const count = fds.length;
  if (count > most) throw tooMany(most, count);
  if (count === 1 && single !== undefined) {
    single[0] = fds[0] as AsFd;
    return single;
  }
  return count === 0 ? NO_FDS : copyList(fds, count);
}

/** A function of its own, so that V8 inlines {@link copyFds}. */
function copyList(fds: readonly unknown[], count: number): AsFd[] {
  const copy = new Array<AsFd>(count);
  for (let i = 0; i < count; i++) copy[i] = fds[i] as AsFd;
  return copy;
}

/** One descriptor in place of a list is a frequent mistake. */
function noList(fds: unknown): TypeError {
  const one = typeof fds === "number" || ownerClassOf(fds) !== null;
  const hint = one ? "write [fd] for one descriptor" : otherDescriptor(fds);
  return wrongType("fds", "an array of descriptors", fds, hint);
}

/** What makes a descriptor of a value that is none; null if nothing does. */
export function otherDescriptor(value: unknown): string | null {
  if (typeof value === "string") return "a path is opened first, with openSync or, for a socket, UnixStream.connect";
  return value instanceof Promise ? "await it first" : null;
}

/** `RangeError: "fds" expected at most 253 descriptors in one message, got 300 (number)`. */
export function tooMany(most: number, count: number): RangeError {
  return outOfRange("fds", `at most ${most} descriptors in one message`, count, "ERR_TOO_MANY_FDS");
}

export const NO_FDS: readonly AsFd[] = [];

/** The result of {@link readNumbers} when no number needs code of the caller's. */
export const NO_NUMBERS: readonly number[] = [];

/**
 * Reads the numbers that need code of the caller's (getters). {@link numberOf} reads the others right before the system call.
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
 * The current number of a descriptor. Runs no code of the caller's.
 *
 * @param numbers the result of {@link readNumbers} for the list
 * @throws as {@link resolveFd}
 */
export function numberOf(platform: Platform, fds: readonly AsFd[], numbers: readonly number[], i: number): number {
  const fd = fds[i]!;
  if (typeof fd === "number") return checkNumber(fd, "fds", i);
  const ownerClass = ownerClassOf(fd);
  return ownerClass === null ? numbers[i]! : ownedNumber(platform, ownerClass, fd, "fds", i);
}

/** Throws what {@link numberOf} would throw for any descriptor of a list. */
export function checkNumbers(platform: Platform, fds: readonly AsFd[], numbers: readonly number[]): void {
  for (let i = 0; i < fds.length; i++) numberOf(platform, fds, numbers, i);
}

/**
 * The current number of `fd`.
 *
 * @throws AncillaryError `ERR_FD_CLOSED` when its owner is closed, `ERR_FOREIGN_PLATFORM` when it is a descriptor of another
 *   platform
 * @throws TypeError when it is not a descriptor, for a TLSSocket, and for a net.Socket with unread bytes
 */
export function resolveFd(platform: Platform, fd: unknown, name: string, index = -1): number {
  if (typeof fd === "number") return checkNumber(fd, name, index);
  const ownerClass = ownerClassOf(fd);
  if (ownerClass !== null) return ownedNumber(platform, ownerClass, fd as object, name, index);
  if (typeof fd !== "object" || fd === null) throw noDescriptor(fd, name, index);
  const number: unknown = "fd" in fd ? fd.fd : handleFd(platform, fd, element(name, index));
  // Closed, or not open yet: a FileHandle has -1, a stream of node:fs has null, a socket of node:net has no handle, and a socket of
  // node:dgram that is not bound has an errno for a number.
  if (number === null || (typeof number === "number" && number < 0)) checkOpen(-1, fd, name, index);
  if (!isFd(number)) throw noDescriptor(fd, name, index);
  return number;
}

function noDescriptor(value: unknown, name: string, index: number): TypeError {
  return wrongType(element(name, index), "a descriptor, or an object that has one", value, otherDescriptor(value));
}

/**
 * The current number of an owner of this library. Runs no code of the caller's.
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
    `"${name}" expected a descriptor of the platform that the call is made on, got one of another platform`,
  );
}

const element = (name: string, index: number): string => (index === -1 ? name : `${name}[${index}]`);

/** Whether a value can be a descriptor. The addon would cut a larger number to 32 bits, which could be another descriptor. */
function isFd(value: unknown): value is number {
  return typeof value === "number" && (value | 0) === value && value >= 0;
}

/** The number in the handle of a net.Socket, net.Server or dgram.Socket; null without a handle; undefined for other objects. */
function handleFd(platform: Platform, source: object, name: string): number | null | undefined {
  // dgram stores its handle under a symbol; its `_handle` is deprecated (DEP0112) and warns.
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
 * Refuses a net.Socket with state besides its descriptor: bytes that Node has read and the program has not, and the state of TLS,
 * would stay in this process.
 *
 * @throws TypeError
 */
function checkUnread(source: object, name: string): void {
  if ("encrypted" in source) throw wrongType(name, "a net.Socket without TLS (its keys stay in this process)", source);
  const { readableLength = 0 } = source as Partial<Socket>;
  if (readableLength > 0) {
    const expected = `a net.Socket without unread bytes: ${readableLength} bytes were read and would not be sent; use pauseOnConnect, or read them first`;
    throw wrongType(name, expected, source);
  }
}
