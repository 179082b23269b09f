/** A control buffer as a map of its bytes, eight to a row. */

import type { Part } from "command/parts";
import type { Abi, DecodedControl } from "unix-ancillary/core";
import { h } from "./dom.ts";
import { hexOf, meaningOf, plural, shownValue } from "./words.ts";

/** Bytes of a row: fields and alignments of every ABI divide it, or are divided by it. */
const COLUMNS = 8;

/** So many bytes are drawn. */
export const DRAWN = 2048;

export interface Drawing {
  readonly abi: Abi;
  readonly control: Uint8Array;
  readonly decoded: DecodedControl;
  readonly parts: readonly Part[];
  /** What the map is called. */
  readonly label: string;
  /** What is different from the buffer that this one is compared with; null: nothing. */
  readonly differs?: (part: Part) => string | null;
}

/** The map, and the text about the part that the pointer or the keyboard is on. */
export function draw(drawing: Drawing): { readonly map: HTMLElement; readonly told: HTMLElement } {
  const { control, decoded, parts, label } = drawing;
  const shown = parts.filter((part) => part.offset < DRAWN);
  const told = h("div", { class: "told", role: "status" });
  const rows: HTMLElement[] = [];
  const end = Math.min(control.length, DRAWN);
  const digits = Math.max(2, (end - 1).toString(16).length);
  for (let at = 0; at < end; at += COLUMNS)
    rows.push(
      h(
        "div",
        { class: "row" },
        h("span", { class: "offset", "aria-hidden": "true" }, at.toString(16).padStart(digits, "0")),
      ),
    );
  for (const [index, part] of shown.entries()) {
    for (let from = part.offset; from < Math.min(part.offset + part.bytes, end); ) {
      const to = Math.min(part.offset + part.bytes, from - (from % COLUMNS) + COLUMNS, end);
      rows[Math.floor(from / COLUMNS)]!.append(box(drawing, part, index, from, to));
      from = to;
    }
  }
  const map = h(
    "div",
    {
      class: "map",
      role: "group",
      "aria-label": `${label}: ${plural(control.length, "byte")} in ${plural(parts.length, "field")}. Arrow keys go from field to field.`,
    },
    rows,
  );

  const boxes = (index: number) => map.querySelectorAll<HTMLElement>(`[data-part="${index}"]`);
  const first = (index: number) => map.querySelector<HTMLButtonElement>(`button[data-part="${index}"]`);
  let active = -1;
  const activate = (index: number) => {
    for (const one of active < 0 ? [] : boxes(active)) one.classList.remove("active");
    active = index;
    for (const one of boxes(index)) one.classList.add("active");
    const part = shown[index];
    if (part !== undefined) told.replaceChildren(...tell(drawing, part));
  };
  const focusOn = (index: number) => {
    for (const one of map.querySelectorAll("button")) one.tabIndex = -1;
    const button = first(index);
    if (button === null) return;
    button.tabIndex = 0;
    button.focus();
  };
  const indexOf = (event: Event) =>
    Number((event.target as Element).closest<HTMLElement>("[data-part]")?.dataset.part ?? -1);
  map.addEventListener("pointerover", (event) => {
    const index = indexOf(event);
    if (index >= 0) activate(index);
  });
  map.addEventListener("focusin", (event) => activate(indexOf(event)));
  map.addEventListener("click", (event) => {
    const index = indexOf(event);
    if (index >= 0) focusOn(index);
  });
  map.addEventListener("keydown", (event) => {
    const to = step(event.key, active, shown);
    if (to === null) return;
    event.preventDefault();
    focusOn(to);
  });

  const start = Math.max(
    0,
    shown.findIndex(({ message }) => message === decoded.messages.length),
  );
  const button = first(start);
  if (button !== null) button.tabIndex = 0;
  if (shown.length > 0) activate(start);
  return { map, told };
}

/** Where a key goes from a part: to the next and the one before, to the row above and below, to the ends; null: nowhere. */
function step(key: string, from: number, parts: readonly Part[]): number | null {
  const last = parts.length - 1;
  const beside = (rows: number) => {
    const { offset } = parts[from]!;
    const at = offset + rows * COLUMNS;
    if (at < 0) return from;
    const found = parts.findIndex((part) => part.offset <= at && at < part.offset + part.bytes);
    return found < 0 ? last : found === from ? Math.max(0, Math.min(last, from + Math.sign(rows))) : found;
  };
  switch (key) {
    case "ArrowRight":
      return Math.min(last, from + 1);
    case "ArrowLeft":
      return Math.max(0, from - 1);
    case "ArrowDown":
      return beside(1);
    case "ArrowUp":
      return beside(-1);
    case "Home":
      return 0;
    case "End":
      return last;
    default:
      return null;
  }
}

/** The bytes of a part that lie in one row. The first box of a part is a button, which says all about it. */
function box(
  { abi, control, decoded, parts, differs }: Drawing,
  part: Part,
  index: number,
  from: number,
  to: number,
): HTMLElement {
  const value = shownValue(abi, part, parts, control);
  const first = from === part.offset;
  const stopped = part.message === decoded.messages.length;
  const different = differs?.(part) ?? null;
  const text =
    part.value === null && part.kind === "payload"
      ? value.slice(from - part.offset, to - part.offset)
      : first
        ? value
        : "";
  const classes = ["part", part.kind, `b${to - from}`];
  if (stopped) classes.push("stopped");
  if (part.offset === decoded.malformed?.offset && first) classes.push("stop");
  if (different !== null) classes.push("differs");
  if (!first) classes.push("continued");
  if (to < part.offset + part.bytes) classes.push("continues");
  const attributes = { class: classes.join(" "), "data-part": index };
  const contents = [
    h("span", { class: "name" }, first ? part.name : ""),
    h(
      "span",
      { class: "bytes", "aria-hidden": "true" },
      Array.from(control.subarray(from, to), (byte) => h("span", {}, byte.toString(16).padStart(2, "0"))),
    ),
    h("span", { class: "value" }, text),
  ];
  if (!first) return h("div", { ...attributes, "aria-hidden": "true" }, contents);
  const more = `, offset ${part.offset}, ${plural(part.bytes, "byte")}${stopped ? ", the walk stopped here" : ""}${different === null ? "" : `, differs: ${different}`}`;
  return h("button", { ...attributes, type: "button", tabindex: -1 }, contents, h("span", { class: "unseen" }, more));
}

/** The text about a part. */
function tell({ abi, control, decoded, parts, differs }: Drawing, part: Part): HTMLElement[] {
  const { name, offset, bytes, value } = part;
  const shown = shownValue(abi, part, parts, control);
  const number = value === null ? null : String(value);
  const raw = control.subarray(offset, Math.min(offset + bytes, offset + 16));
  const different = differs?.(part) ?? null;
  return [
    h(
      "p",
      {},
      h("strong", { class: `tag ${part.kind}` }, name),
      shown === "" ? null : h("strong", { class: "shown" }, ` ${shown}`),
      number !== null && number !== shown ? ` (${number})` : null,
      h(
        "span",
        { class: "where" },
        ` offset ${offset} (0x${offset.toString(16)}), ${plural(bytes, "byte")}: `,
        h("code", {}, hexOf(raw) + (bytes > 16 ? " …" : "")),
      ),
    ),
    h("p", {}, meaningOf(abi, part, parts, decoded)),
    ...(different === null ? [] : [h("p", { class: "different" }, `Differs: ${different}.`)]),
  ];
}
