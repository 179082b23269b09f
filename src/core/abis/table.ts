/**
 * The ABI table: the layout, the numbers and the rules of control messages on every system and architecture. It is the only place
 * of these facts. The core is configured from it, the C headers of the host are compared with it when a process starts, and the
 * oracles of `test/oracles` check its layouts.
 *
 * Each system has a file beside this one. A row is the system's numbers and rules, a layout, and what is different on its
 * architecture. `source` names the files that it was read in; it was checked against golang.org/x/sys (`ztypes`, `zerrors`) and the
 * Rust libc crate where these have the target. `docs/kernel-sources.md` has the lines of the rules. For a new system add a file, its names in `abi.ts`, and an entry in the list here.
 */

import { outOfRange, wrongType } from "../errors.ts";
import type { Abi, AbiName, AbiSystem, NamesOf, PrefixOf } from "./abi.ts";
import { darwin } from "./darwin.ts";
import { dragonfly } from "./dragonfly.ts";
import { freebsd } from "./freebsd.ts";
import { illumos } from "./illumos.ts";
import { android, linux } from "./linux.ts";
import { netbsd } from "./netbsd.ts";
import { openbsd } from "./openbsd.ts";

export type { Abi, AbiName, CredentialsLayout, MsghdrLayout, PeerCredentialsLayout, TimestampLayout } from "./abi.ts";

const SYSTEMS: { readonly [prefix in PrefixOf<AbiName>]: AbiSystem<NamesOf<prefix>> } = {
  linux,
  android,
  darwin,
  freebsd,
  openbsd,
  netbsd,
  dragonfly,
  illumos,
};

/** A property that makes its row when it is first read: all rows together take 2 ms of a program's start (2026-11). */
function lazily(name: AbiName, { os, rows }: AbiSystem): PropertyDescriptor {
  let made: Abi | undefined;
  const make = (): Abi => {
    const [arch, libc, endian, evidence, layout, facts] = rows[name]!();
    return Object.freeze({ name, os, arch, libc, endian, evidence, ...facts, ...layout });
  };
  return { enumerable: true, get: () => (made ??= make()) };
}

function table(): Readonly<Record<AbiName, Abi>> {
  const rows = {} as Record<AbiName, Abi>;
  for (const system of Object.values<AbiSystem>(SYSTEMS)) {
    for (const name of Object.keys(system.rows)) Object.defineProperty(rows, name, lazily(name as AbiName, system));
  }
  return Object.freeze(rows);
}

/** The ABI table, by name. */
export const abis: Readonly<Record<AbiName, Abi>> = table();

/**
 * The row with a name; an {@link Abi} is returned as it is.
 *
 * @throws RangeError for an unknown name, with the names of the same system
 */
export function abiOf(abi: Abi | AbiName): Abi {
  if (typeof abi === "object" && abi !== null) return abi;
  if (typeof abi !== "string") throw wrongType("abi", "a row of the ABI table, or its name", abi);
  if (Object.hasOwn(abis, abi)) return abis[abi];
  const [os] = String(abi).split("-");
  const near = Object.keys(abis).filter((name) => name.startsWith(`${os}-`));
  throw outOfRange("abi", `one of ${(near.length > 0 ? near : Object.keys(abis)).join(", ")}`, abi);
}

/**
 * The name of the row of a host.
 *
 * @param platform `process.platform`
 * @param arch `process.arch`
 * @param libc the libc on Linux, null elsewhere
 * @param endian the byte order, where `process.arch` leaves it open (`ppc64`); that of most machines by default
 * @returns null: there is no row
 */
export function hostAbiName(
  platform: string,
  arch: string,
  libc: "glibc" | "musl" | null,
  endian?: "little" | "big",
): AbiName | null {
  for (const [prefix, system] of Object.entries<AbiSystem>(SYSTEMS)) {
    if (system.platform !== platform || !Object.hasOwn(system.architectures, arch)) continue;
    // Android has one libc.
    const last = prefix === "android" ? "bionic" : libc;
    for (const wanted of [system.architectures[arch]!].flat()) {
      const name = [prefix, wanted, ...(last === null ? [] : [last])].join("-") as AbiName;
      if (Object.hasOwn(abis, name) && (endian === undefined || abis[name].endian === endian)) return name;
    }
  }
  return null;
}
