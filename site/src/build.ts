/** From messages to bytes: a form, and the control buffers of several systems side by side. */

import { type Part, partsOf } from "command/parts";
import { type Abi, type AbiName, abis, Codec, type ControlMessage, inspect } from "unix-ancillary/core";
import { fillAbis, HOST, systemOf } from "./abi-list.ts";
import { type Built, buildAsC, buildAsJavaScript, buildAsTest } from "./copy.ts";
import { byId, h } from "./dom.ts";
import { draw } from "./map.ts";
import type { FormMessage, State } from "./state.ts";
import { takeAway } from "./take.ts";
import { plural } from "./words.ts";

/** So many systems are shown. */
const MOST = 8;

/** A number of the form, decimal or with 0x. @throws Error that says what was expected */
function numberOf(what: string, text: string, least: number, most: number): number {
  const value = /^-?(?:0x[0-9a-f]+|\d+)$/i.test(text.trim())
    ? Number(text.trim().replace(/^-/, "")) * (text.trim().startsWith("-") ? -1 : 1)
    : Number.NaN;
  if (Number.isNaN(value) || value < least || value > most)
    throw new Error(`${what} expected a whole number from ${least} to ${most}, got "${text}"`);
  return value;
}

/** A name of the ABI table, or a number. */
function named(abi: Abi, what: string, text: string): number {
  const word = text.trim();
  if (!/^[A-Z]/.test(word)) return numberOf(what, word, -0x80000000, 0x7fffffff);
  const number = Object.hasOwn(abi, word)
    ? abi[word as keyof Abi]
    : abi.timestamps.find(({ name }) => name === word)?.type;
  if (typeof number !== "number") throw new Error(`${abi.name} has no ${word}`);
  return number;
}

function bytesOf(text: string): Uint8Array {
  const digits = text.replace(/0x|\\x|[\s,:]/gi, "");
  if (/[^0-9a-f]/i.test(digits) || digits.length % 2 === 1)
    throw new Error(`the payload expected hex digits, two for each byte, got "${text}"`);
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

/** A message of the form for a system, and the call of the codec that makes it. @throws Error that says what is wrong */
function messageOf(codec: Codec, message: FormMessage): readonly [ControlMessage, string] {
  switch (message.kind) {
    case "rights": {
      const words = message.fds.split(/[\s,]+/).filter((word) => word !== "");
      const fds = words.map((word) => numberOf("a descriptor", word, -0x80000000, 0x7fffffff));
      return [codec.rights(fds), `codec.rights([${fds.join(", ")}])`];
    }
    case "credentials": {
      const pid = message.pid.trim() === "" ? null : numberOf("the pid", message.pid, 0, 0x7fffffff);
      const ids = {
        pid,
        uid: numberOf("the uid", message.uid, 0, 0xffffffff),
        gid: numberOf("the gid", message.gid, 0, 0xffffffff),
      };
      if (codec.abi.credentials[0]?.sendable !== true) throw new Error("senders attach no credentials on this system");
      return [codec.credentials(ids), `codec.credentials({ pid: ${pid}, uid: ${ids.uid}, gid: ${ids.gid} })`];
    }
    case "other": {
      const level = named(codec.abi, "the level", message.level);
      const type = named(codec.abi, "the type", message.type);
      const data = bytesOf(message.data);
      return [{ level, type, data }, `{ level: ${level}, type: ${type}, data: Uint8Array.of(${data.join(", ")}) }`];
    }
    default:
      return message satisfies never;
  }
}

/** What a kernel does with these messages, where it is not what they say. */
function rules(abi: Abi, messages: readonly ControlMessage[], length: number): string[] {
  const rights = messages.filter(({ level, type }) => level === abi.SOL_SOCKET && type === abi.SCM_RIGHTS).length;
  const said: string[] = [];
  if (rights > 1)
    said.push(
      {
        merged: "The receiver gets one SCM_RIGHTS with all descriptors.",
        separate: "",
        refused: "This kernel refuses more than one SCM_RIGHTS.",
        first: "This kernel loses all but the first SCM_RIGHTS, without an error.",
      }[abi.severalRights],
    );
  if (abi.maxControlBytes !== null && length > abi.maxControlBytes)
    said.push(`This kernel takes at most ${abi.maxControlBytes} control bytes.`);
  return said.filter((text) => text !== "");
}

/** What a part is called among all parts: of which message, and the how manieth of its name. */
function keys(parts: readonly Part[]): Map<string, Part> {
  const map = new Map<string, Part>();
  for (const part of parts) {
    const base = `${part.message} ${part.name}`;
    let n = 0;
    while (map.has(`${base} ${n}`)) n++;
    map.set(`${base} ${n}`, part);
  }
  return map;
}

/** How the parts of a buffer differ from those of another. */
function differences(
  own: readonly Part[],
  control: Uint8Array,
  others: readonly Part[],
  other: Uint8Array,
): Map<Part, string> {
  const theirs = keys(others);
  const found = new Map<Part, string>();
  for (const [key, part] of keys(own)) {
    const same = theirs.get(key);
    if (same === undefined) {
      found.set(part, "the first system has no such bytes here");
      continue;
    }
    const said: string[] = [];
    if (part.offset !== same.offset) said.push(`at offset ${part.offset}, not ${same.offset}`);
    if (part.bytes !== same.bytes) said.push(`${plural(part.bytes, "byte")}, not ${same.bytes}`);
    if (part.value !== same.value) said.push(`${part.value}, not ${same.value}`);
    const raw = (bytes: Uint8Array, { offset, bytes: length }: Part) => bytes.subarray(offset, offset + length).join();
    if (said.length === 0 && raw(control, part) !== raw(other, same)) said.push("the same value in another byte order");
    if (said.length > 0) found.set(part, said.join("; "));
  }
  return found;
}

interface Column {
  readonly abi: Abi;
  readonly built: Built | null;
  readonly error: string | null;
}

function columnOf(name: AbiName, form: readonly FormMessage[]): Column {
  const abi = abis[name];
  const codec = new Codec(abi);
  try {
    const made = form.map((message) => messageOf(codec, message));
    const messages = made.map(([message]) => message);
    return {
      abi,
      built: { abi, messages, control: codec.encode(messages), calls: made.map(([, call]) => call) },
      error: null,
    };
  } catch (error) {
    return { abi, built: null, error: (error as Error).message };
  }
}

/** The facts of a system in numbers, for the table. */
const FACTS: readonly (readonly [string, (column: Column) => string | number])[] = [
  ["msg_controllen", ({ built }) => built?.control.length ?? "–"],
  ["sizeof(struct cmsghdr)", ({ abi }) => abi.headerBytes],
  ["bytes of cmsg_len", ({ abi }) => abi.lengthBytes],
  ["CMSG_LEN(0)", ({ abi }) => abi.dataOffset],
  ["CMSG_ALIGN to", ({ abi }) => abi.alignBytes],
  ["SOL_SOCKET", ({ abi }) => abi.SOL_SOCKET],
  ["byte order", ({ abi }) => abi.endian],
  ["descriptors at most", ({ abi }) => abi.maxFdsPerMessage],
];

/** @param changed is called when the user has changed the state */
export function buildView(
  state: () => State,
  changed: () => void,
  open: (abi: AbiName, hex: string) => void,
): { show(): void } {
  const form = byId("form");
  const add = byId<HTMLSelectElement>("add-system");
  const programs = takeAway(byId("build-take"), "build-language");
  let shown: readonly FormMessage[] | null = null;

  const set = (messages: readonly FormMessage[]) => {
    state().messages = messages;
    changed();
  };
  const adds: Readonly<Record<string, FormMessage>> = {
    "add-rights": { kind: "rights", fds: "5" },
    "add-credentials": { kind: "credentials", pid: "1234", uid: "1000", gid: "1000" },
    "add-other": { kind: "other", level: "SOL_SOCKET", type: "SCM_TIMESTAMP", data: "00 00 00 00 00 00 00 00" },
  };
  for (const [id, message] of Object.entries(adds))
    byId(id).addEventListener("click", () => {
      set([...state().messages, message]);
      form.querySelector<HTMLElement>("fieldset:last-of-type input")?.focus();
    });
  fillAbis(add);
  add.value = HOST;
  byId("add").addEventListener("click", () => {
    const name = add.value as AbiName;
    if (!state().systems.includes(name)) {
      state().systems = [...state().systems, name];
      changed();
    }
    document.querySelector(`[data-abi="${name}"]`)?.scrollIntoView({ block: "nearest" });
  });

  function showForm(messages: readonly FormMessage[]): void {
    // What is being typed into is not made anew.
    if (shown === messages) return;
    shown = messages;
    form.replaceChildren(
      ...messages.map((message, i) => {
        const field = (label: string, name: string, value: string, hint = "") =>
          h(
            "label",
            { class: name },
            label,
            h("input", {
              type: "text",
              value,
              placeholder: hint,
              spellcheck: "false",
              autocomplete: "off",
              input(event) {
                const next = {
                  ...state().messages[i]!,
                  [name]: (event.target as HTMLInputElement).value,
                } as FormMessage;
                shown = state().messages.map((one, j) => (j === i ? next : one));
                set(shown);
              },
            }),
          );
        const fields =
          message.kind === "rights"
            ? [field("Descriptors", "fds", message.fds, "3 4 5")]
            : message.kind === "credentials"
              ? [field("pid", "pid", message.pid), field("uid", "uid", message.uid), field("gid", "gid", message.gid)]
              : [
                  field("Level", "level", message.level, "SOL_SOCKET or a number"),
                  field("Type", "type", message.type, "SCM_… or a number"),
                  field("Payload, hex", "data", message.data),
                ];
        const title = { rights: "SCM_RIGHTS", credentials: "Credentials", other: "Any message" }[message.kind];
        return h(
          "fieldset",
          { class: "message" },
          h("legend", {}, `${i + 1}. ${title}`),
          fields,
          h(
            "button",
            {
              type: "button",
              class: "quiet",
              "aria-label": `Remove message ${i + 1}`,
              click() {
                set(state().messages.filter((_, j) => j !== i));
                byId("add-rights").focus();
              },
            },
            "Remove",
          ),
        );
      }),
    );
  }

  function show(): void {
    const { messages, systems } = state();
    showForm(messages);
    byId<HTMLButtonElement>("add").disabled = systems.length >= MOST;
    const columns = systems.map((name) => columnOf(name, messages));
    const reference = columns.find(({ built }) => built !== null)?.built ?? null;
    const partsIn = ({ abi, control }: Built) => partsOf(abi, control, new Codec(abi).decode(control));
    byId("compare").replaceChildren(
      ...columns.map(({ abi, built, error }) => {
        const heading = h("h3", {}, systemOf(abi.name), h("small", {}, ` ${abi.name}`));
        const remove = h(
          "button",
          {
            type: "button",
            class: "quiet",
            "aria-label": `Remove ${abi.name}`,
            disabled: systems.length === 1,
            click() {
              state().systems = systems.filter((name) => name !== abi.name);
              changed();
              byId("add").focus();
            },
          },
          "Remove",
        );
        const header = h("header", {}, heading, remove);
        if (built === null)
          return h("article", { class: "system", "data-abi": abi.name }, header, h("p", { class: "problem" }, error));
        const { control } = built;
        const parts = partsIn(built);
        const different =
          reference === null || built === reference
            ? new Map<Part, string>()
            : differences(parts, control, partsIn(reference), reference.control);
        const { map, told } = draw({
          abi,
          control,
          parts,
          decoded: new Codec(abi).decode(control),
          label: abi.name,
          differs: (part) => different.get(part) ?? null,
        });
        const summary =
          built === reference
            ? `${plural(control.length, "byte")}; the others compare with it`
            : `${plural(control.length, "byte")}; ${different.size === 0 ? "nothing differs" : `${different.size} of ${plural(parts.length, "field")} ${different.size === 1 ? "differs" : "differ"}`}`;
        return h(
          "article",
          { class: "system", "data-abi": abi.name },
          header,
          h("p", { class: "summary" }, summary),
          control.length === 0 ? h("p", { class: "empty" }, "No bytes.") : [map, told],
          rules(abi, built.messages, control.length).map((rule) => h("p", { class: "remark" }, rule)),
          h(
            "button",
            {
              type: "button",
              class: "quiet",
              click() {
                open(abi.name, inspectable(control));
              },
            },
            "Read these bytes",
          ),
        );
      }),
    );
    showFacts(columns);
    const all = columns.flatMap(({ built }) => (built === null ? [] : [built]));
    if (reference === null) programs({ JavaScript: "", C: "", test: "", text: "" });
    else
      programs({
        JavaScript: buildAsJavaScript(reference),
        C: buildAsC(reference),
        test: buildAsTest(all),
        text: all.map(({ abi, control }) => inspect(abi, control)).join("\n"),
      });
  }

  return { show };
}

const inspectable = (control: Uint8Array): string =>
  Array.from(control, (byte, i) => `${byte.toString(16).padStart(2, "0")}${i % 16 === 15 ? "\n" : " "}`)
    .join("")
    .trim();

function showFacts(columns: readonly Column[]): void {
  byId("facts").replaceChildren(
    h(
      "table",
      {},
      h("caption", {}, "The numbers behind it. What differs from the first column is marked."),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("td", {}),
          columns.map(({ abi }) => h("th", { scope: "col" }, abi.name)),
        ),
      ),
      h(
        "tbody",
        {},
        FACTS.map(([name, of]) => {
          const values = columns.map(of);
          return h(
            "tr",
            {},
            h("th", { scope: "row" }, name),
            values.map((value) => h("td", {}, value === values[0] ? value : h("mark", {}, value))),
          );
        }),
      ),
    ),
  );
}
