/** From bytes to messages: the text of a control buffer, its map, its messages and the verdict. */

import { type Input, inputsOf } from "command/input";
import { partsOf } from "command/parts";
import { abis, Codec, inspect, type ReceiveVerdict, type VerdictInput } from "unix-ancillary/core";
import { fillAbis } from "./abi-list.ts";
import { readAsC, readAsJavaScript, readAsTest } from "./copy.ts";
import { byId, h } from "./dom.ts";
import { EXAMPLES } from "./examples.ts";
import { DRAWN, draw } from "./map.ts";
import { countOf, FLAGS, type Flag, type State } from "./state.ts";
import { takeAway } from "./take.ts";
import { hexOf, levelName, OUTCOMES, plural, sayMessage, stoppedBecause, typeName } from "./words.ts";

/** The most control bytes that a verdict takes; no kernel delivers more. */
const VERDICT_BYTES = 65536;
/** A dropped file may have so many. */
const FILE_BYTES = 1 << 20;
/** So many messages are listed. */
const LISTED = 256;

interface Parsed {
  readonly inputs: readonly Input[];
  readonly remarks: readonly string[];
  readonly error: string | null;
}

function parse(state: State): Parsed {
  const remarks: string[] = [];
  try {
    const inputs = inputsOf(abis[state.abi], new TextEncoder().encode(state.text), true, (text) => remarks.push(text));
    return { inputs, remarks, error: null };
  } catch (error) {
    const { message, hint = null } = error as { message: string; hint?: string | null };
    // The command's advice is about its options.
    const advice = hint === null || hint.includes("--") ? "" : `: ${hint}`;
    return { inputs: [], remarks, error: message.replace(/^expected/, "The text expected") + advice };
  }
}

/** @param changed is called when the user has changed the state */
export function readView(state: () => State, changed: () => void): { show(): void } {
  const abi = byId<HTMLSelectElement>("abi");
  const text = byId<HTMLTextAreaElement>("text");
  const file = byId<HTMLInputElement>("file");
  const example = byId<HTMLSelectElement>("example");
  const buffer = byId<HTMLSelectElement>("buffer");
  const maxFds = byId<HTMLInputElement>("max-fds");
  const exactly = byId<HTMLInputElement>("exactly");
  const allow = byId<HTMLInputElement>("allow-truncated");
  const flags = FLAGS.map((flag) => ({ flag, box: byId<HTMLInputElement>(flag) }));
  const programs = takeAway(byId("read-take"), "read-language");

  fillAbis(abi);
  example.append(...EXAMPLES.map(({ name }, i) => h("option", { value: i }, name)));

  abi.addEventListener("change", () => {
    state().abi = abi.value as State["abi"];
    changed();
  });
  const setText = (value: string) => {
    Object.assign(state(), { text: value, pick: 0 });
    // A line of strace has its own flags.
    const [input] = parse(state()).inputs;
    if (input?.flags) state().flags = FLAGS.filter((flag) => input.flags!.includes(flag));
    changed();
  };
  text.addEventListener("input", () => {
    example.value = "";
    setText(text.value);
  });
  example.addEventListener("change", () => {
    const chosen = EXAMPLES[Number(example.value)];
    if (example.value === "" || chosen === undefined) return;
    Object.assign(state(), { abi: chosen.abi, flags: [] });
    setText(chosen.text);
  });
  buffer.addEventListener("change", () => {
    state().pick = buffer.selectedIndex;
    const input = parse(state()).inputs[buffer.selectedIndex];
    if (input?.flags) state().flags = FLAGS.filter((flag) => input.flags!.includes(flag));
    changed();
  });
  for (const { flag, box } of flags)
    box.addEventListener("change", () => {
      const others = state().flags.filter((other) => other !== flag);
      state().flags = FLAGS.filter((one: Flag) => others.includes(one) || (one === flag && box.checked));
      changed();
    });
  const count = (input: HTMLInputElement, set: (value: number | null) => void) =>
    input.addEventListener("input", () => {
      const value = countOf(input.value.trim());
      const wrong = value === null && (input.value.trim() !== "" || input === maxFds || input.validity.badInput);
      input.setCustomValidity(wrong ? "a whole number from 0 to 2147483647" : "");
      input.setAttribute("aria-invalid", String(wrong));
      if (wrong) return;
      set(value);
      changed();
    });
  count(maxFds, (value) => {
    state().maxFds = value!;
  });
  count(exactly, (value) => {
    state().exactly = value;
  });
  allow.addEventListener("change", () => {
    state().allowTruncated = allow.checked;
    changed();
  });

  /** A file of bytes as hex digits; a file of text as it is. */
  const take = async (given: File) => {
    if (given.size > FILE_BYTES) {
      problem.textContent = `${given.name} has ${given.size} bytes: a control buffer has at most ${VERDICT_BYTES}, and ${FILE_BYTES} are read.`;
      problem.hidden = false;
      return;
    }
    const bytes = new Uint8Array(await given.arrayBuffer());
    example.value = "";
    const [whole] = inputsOf(abis[state().abi], bytes, false, () => {});
    // Bytes that are no text are taken as they are.
    const binary =
      whole !== undefined &&
      whole.control.length === bytes.length &&
      whole.control.every((byte, i) => byte === bytes[i]);
    setText(binary ? hexOf(bytes).replace(/((?:.. ){15}..) /g, "$1\n") : new TextDecoder().decode(bytes));
  };
  const problem = byId("problem");
  const taking = (given: File) =>
    void take(given).catch((error: Error) => {
      problem.textContent = `${given.name}: ${error.message}`;
      problem.hidden = false;
    });
  file.addEventListener("change", () => {
    const [given] = file.files ?? [];
    file.value = "";
    if (given !== undefined) taking(given);
  });
  const zone = byId("drop");
  const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") === true;
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    zone.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) zone.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    zone.classList.remove("over");
    const [given] = event.dataTransfer?.files ?? [];
    if (given === undefined) return;
    state().view = "read";
    taking(given);
  });

  function show(): void {
    const now = state();
    abi.value = now.abi;
    if (text.value !== now.text) text.value = now.text;
    for (const { flag, box } of flags) box.checked = now.flags.includes(flag);
    if (document.activeElement !== maxFds) maxFds.value = String(now.maxFds);
    if (document.activeElement !== exactly) exactly.value = now.exactly === null ? "" : String(now.exactly);
    allow.checked = now.allowTruncated;

    const { inputs, remarks, error } = parse(now);
    problem.hidden = error === null && remarks.length === 0;
    problem.className = error === null ? "remark" : "problem";
    problem.textContent = error ?? remarks.join("; ");
    byId("buffers").hidden = inputs.length < 2;
    buffer.replaceChildren(
      ...inputs.map((one, i) => h("option", {}, `${i + 1} of ${inputs.length}, ${plural(one.control.length, "byte")}`)),
    );
    const pick = Math.min(now.pick, Math.max(0, inputs.length - 1));
    buffer.selectedIndex = pick;
    showBuffer(now, inputs[pick]?.control ?? new Uint8Array(0));
  }

  function showBuffer(now: State, control: Uint8Array): void {
    const row = abis[now.abi];
    const codec = new Codec(row);
    const bits = now.flags.reduce((sum, flag) => sum | row[flag], 0);
    const decoded = codec.decode(control, { flags: bits });
    const parts = partsOf(row, control, decoded);
    const { messages, malformed } = decoded;

    const { map, told } = draw({ abi: row, control, decoded, parts, label: "Control buffer" });
    byId("size").textContent =
      `${plural(control.length, "byte")} · ${plural(messages.length, "message")} · ${8 * row.pointerBytes} bit, ${row.endian}-endian`;
    const empty = h(
      "p",
      { class: "empty" },
      "An empty control buffer: no ancillary data came. Paste bytes, drop a file, or choose an example.",
    );
    const more =
      control.length > DRAWN
        ? h("p", { class: "remark" }, `The first ${DRAWN} of ${control.length} bytes are drawn. All are read.`)
        : null;
    byId("map").replaceChildren(...(control.length === 0 ? [empty] : [map, ...(more === null ? [] : [more]), told]));

    const stopped = byId("stopped");
    stopped.hidden = malformed === null;
    stopped.replaceChildren();
    if (malformed !== null) {
      const length = parts.find(({ message, kind }) => message === messages.length && kind === "length");
      stopped.replaceChildren(
        h("strong", {}, `The walk stopped at offset ${malformed.offset}: ${malformed.reason}. `),
        `${stoppedBecause(row, decoded, length)} ${plural(control.length - malformed.offset, "byte")} ${control.length - malformed.offset === 1 ? "is" : "are"} left.`,
      );
    }

    byId("messages").replaceChildren(
      messages.length === 0
        ? h("p", { class: "empty" }, malformed === null ? "No message." : "No whole message.")
        : h(
            "table",
            {},
            h(
              "thead",
              {},
              h(
                "tr",
                {},
                ["Offset", "Level", "Type", "Payload", "What it says"].map((title) => h("th", { scope: "col" }, title)),
              ),
            ),
            h(
              "tbody",
              {},
              messages
                .slice(0, LISTED)
                .map((message) =>
                  h(
                    "tr",
                    {},
                    h("td", {}, h("code", {}, message.offset)),
                    h("td", {}, h("code", {}, levelName(row, message.level))),
                    h("td", {}, h("code", {}, typeName(row, message.level, message.type))),
                    h("td", {}, `${plural(message.data.length, "byte")}${message.clamped ? ", cut" : ""}`),
                    h("td", {}, sayMessage(row, message)),
                  ),
                ),
            ),
          ),
      ...(messages.length > LISTED
        ? [h("p", { class: "remark" }, `${messages.length - LISTED} more messages are not listed.`)]
        : []),
    );

    const input: VerdictInput = {
      control,
      flags: bits,
      maxFds: now.maxFds,
      ...(now.exactly === null ? {} : { exactly: now.exactly }),
      ...(now.allowTruncated ? { allowTruncated: true } : {}),
    };
    const said = inspect(row, control);
    if (control.length > VERDICT_BYTES) {
      byId("verdict").replaceChildren(
        h("p", { class: "empty" }, `No kernel delivers more than ${VERDICT_BYTES} bytes: there is no verdict.`),
      );
      programs({ JavaScript: "", C: "", test: "", text: said });
      return;
    }
    const verdict = codec.verdict(input);
    byId("verdict").replaceChildren(...verdictOf(verdict));
    const read = { abi: row, input, decoded, payloads: messages.map((message) => codec.payloadOf(message)), verdict };
    programs({ JavaScript: readAsJavaScript(read), C: readAsC(read), test: readAsTest(read), text: said });
  }

  return { show };
}

function verdictOf(verdict: ReceiveVerdict): HTMLElement[] {
  const { outcome, keep, close, pidfd, credentials } = verdict;
  const { error, says } = OUTCOMES[outcome];
  const list = (fds: readonly number[]) =>
    fds.length === 0 ? "none" : fds.length > 64 ? `${fds.slice(0, 64).join(", ")} … (${fds.length})` : fds.join(", ");
  const fact = (name: string, value: string, kind = "") => [h("dt", {}, name), h("dd", { class: kind }, value)];
  return [
    h(
      "p",
      { class: `outcome ${outcome === "ok" ? "good" : "bad"}` },
      h("strong", {}, outcome),
      error === null ? "" : h("code", {}, error),
    ),
    h("p", {}, says),
    h(
      "dl",
      {},
      fact("Kept", list(keep), keep.length > 0 ? "kept" : ""),
      fact("Closed", list(close), close.length > 0 ? "closed" : ""),
      pidfd === null ? [] : fact("Pidfd", String(pidfd)),
      credentials === null
        ? []
        : fact(
            "Sender",
            `${credentials.pid === null ? "" : `pid ${credentials.pid}, `}uid ${credentials.uid}, gid ${credentials.gid}`,
          ),
    ),
  ];
}
