/** The rows of the ABI table in lists, and the row that this machine probably has. */

import { type Abi, type AbiName, abis, hostAbiName } from "unix-ancillary/core";
import { h } from "./dom.ts";

export const NAMES: readonly AbiName[] = Object.keys(abis) as AbiName[];

export const isAbi = (name: string | null): name is AbiName => name !== null && Object.hasOwn(abis, name);

const SYSTEMS: Readonly<Record<Abi["os"], string>> = {
  linux: "Linux",
  darwin: "macOS",
  freebsd: "FreeBSD",
  openbsd: "OpenBSD",
  netbsd: "NetBSD",
  dragonfly: "DragonFly BSD",
  illumos: "illumos",
};

/** The name of a row's system, as people write it. */
export const systemOf = (name: AbiName): string => (abis[name].libc === "bionic" ? "Android" : SYSTEMS[abis[name].os]);

/** What a browser says about its host, as Node names it. Browsers on Windows and elsewhere have no row. */
function guess(): AbiName | null {
  const { platform, userAgent } = navigator;
  const text = `${platform} ${userAgent}`;
  if (/android/i.test(text)) return "android-aarch64-bionic";
  const [, os] = /\b(linux|mac|freebsd|openbsd|netbsd|dragonfly|sunos)/i.exec(text) ?? [];
  const arch = /\b(x86_64|amd64)\b/.test(text)
    ? "x64"
    : /aarch64|arm64/.test(text)
      ? "arm64"
      : /armv\dl/.test(text)
        ? "arm"
        : /\bi\d86\b/.test(text)
          ? "ia32"
          : (/\b(s390x|riscv64)\b/.exec(text)?.[1] ?? "x64");
  switch (os?.toLowerCase()) {
    case undefined:
      return null;
    case "linux":
      return hostAbiName("linux", arch, "glibc");
    case "mac":
      // Browsers on Apple's processors say that they run on Intel's. The control bytes are the same.
      return hostAbiName("darwin", "arm64", null);
    default:
      return hostAbiName(os!.toLowerCase(), arch, null);
  }
}

const guessed = guess();

/** The row of this machine, as far as a browser can tell; else the most common one. */
export const HOST: AbiName = guessed ?? "linux-x86_64-glibc";

/** Fills a list with all rows: first that of this machine, then by system. */
export function fillAbis(select: HTMLSelectElement): void {
  const option = (name: AbiName) => h("option", { value: name }, name);
  const groups = new Map<string, AbiName[]>();
  for (const name of NAMES) {
    if (name === HOST) continue;
    const system = systemOf(name);
    groups.set(system, [...(groups.get(system) ?? []), name]);
  }
  select.replaceChildren(
    h("optgroup", { label: guessed === null ? "The most common" : "Probably this machine" }, option(HOST)),
    ...[...groups].map(([label, names]) => h("optgroup", { label }, names.map(option))),
  );
}
