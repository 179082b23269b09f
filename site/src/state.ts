/** What the page shows, and its form in the address: a link to the page has all of it. */

import type { AbiName } from "unix-ancillary/core";
import { HOST, isAbi } from "./abi-list.ts";
import { EXAMPLES } from "./examples.ts";

/** The flags of a receive that its verdict depends on. */
export const FLAGS = ["MSG_TRUNC", "MSG_CTRUNC"] as const;
export type Flag = (typeof FLAGS)[number];

/** A message of the form: what was typed, as it was typed. */
export type FormMessage =
  | { readonly kind: "rights"; readonly fds: string }
  | { readonly kind: "credentials"; readonly pid: string; readonly uid: string; readonly gid: string }
  | { readonly kind: "other"; readonly level: string; readonly type: string; readonly data: string };

export interface State {
  view: "read" | "build";
  abi: AbiName;
  text: string;
  /** Which control buffer of the text, where it has several. */
  pick: number;
  flags: readonly Flag[];
  maxFds: number;
  exactly: number | null;
  allowTruncated: boolean;
  messages: readonly FormMessage[];
  systems: readonly AbiName[];
}

/** What a page without anything in its address shows: an example, of this machine's system if there is one. */
const { abi: ABI, text: TEXT } = EXAMPLES.find(({ abi }) => abi === HOST) ?? EXAMPLES[0]!;

const first = (): State => ({
  view: "read",
  abi: ABI,
  text: TEXT,
  pick: 0,
  flags: [],
  maxFds: 16,
  exactly: null,
  allowTruncated: false,
  messages: [{ kind: "rights", fds: "3 4" }],
  systems: ["linux-x86_64-glibc", "darwin-arm64", "freebsd-amd64", "linux-s390x-glibc"],
});

/** A count: a whole number that fits into an `int`; null: it is none. */
export function countOf(text: string | null): number | null {
  return text !== null && /^\d{1,10}$/.test(text) && Number(text) <= 0x7fffffff ? Number(text) : null;
}

/** The part of an address behind `#`. */
export function toHash(state: State): string {
  const fields = new URLSearchParams();
  if (state.view === "build") fields.set("view", state.view);
  fields.set("abi", state.abi);
  fields.set("text", state.text);
  if (state.pick > 0) fields.set("buffer", String(state.pick));
  if (state.flags.length > 0) fields.set("flags", state.flags.join("|"));
  fields.set("maxFds", String(state.maxFds));
  if (state.exactly !== null) fields.set("exactly", String(state.exactly));
  if (state.allowTruncated) fields.set("allowTruncated", "1");
  for (const message of state.messages) fields.append("message", Object.values(message).join("~"));
  fields.set("systems", state.systems.join(","));
  return fields.toString();
}

/** The state that an address has. What it does not have, or what is none, is as at first. */
export function fromHash(hash: string): State {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  const state = first();
  if (fields.get("view") === "build") state.view = "build";
  const text = fields.get("text");
  if (text !== null) {
    const abi = fields.get("abi");
    Object.assign(state, { text, abi: isAbi(abi) ? abi : HOST });
  }
  state.pick = countOf(fields.get("buffer")) ?? 0;
  const flags = (fields.get("flags") ?? "").split("|");
  state.flags = FLAGS.filter((flag) => flags.includes(flag));
  state.maxFds = countOf(fields.get("maxFds")) ?? state.maxFds;
  state.exactly = countOf(fields.get("exactly"));
  state.allowTruncated = fields.get("allowTruncated") === "1";
  if (fields.has("systems") || fields.has("message"))
    state.messages = fields.getAll("message").flatMap((one) => messageOf(one.split("~")));
  const systems = (fields.get("systems") ?? "").split(",").filter(isAbi);
  if (systems.length > 0) state.systems = [...new Set(systems)];
  return state;
}

function messageOf([kind, a = "", b = "", c = ""]: readonly string[]): FormMessage[] {
  if (kind === "rights") return [{ kind, fds: a }];
  if (kind === "credentials") return [{ kind, pid: a, uid: b, gid: c }];
  if (kind === "other") return [{ kind, level: a, type: b, data: c }];
  return [];
}
