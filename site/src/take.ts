/** The programs of a view: one is shown, and can be copied. */

import type { Language, Programs } from "./copy.ts";
import { copyButton, h } from "./dom.ts";

const TITLES: Readonly<Record<Language, string>> = {
  JavaScript: "JavaScript",
  C: "C",
  test: "A test",
  text: "Text",
};

/** Fills a section with a choice of programs. What it returns shows others in their place. */
export function takeAway(section: HTMLElement, name: string): (programs: Programs) => void {
  let programs: Programs = { JavaScript: "", C: "", test: "", text: "" };
  let chosen: Language = "JavaScript";
  const code = h("pre", { tabindex: 0, "aria-label": "The program" });
  const show = () => code.replaceChildren(programs[chosen]);
  const choices = (Object.keys(TITLES) as Language[]).map((language) => {
    const input = h("input", {
      type: "radio",
      name,
      value: language,
      change() {
        chosen = language;
        show();
      },
    });
    input.checked = language === chosen;
    return h("label", {}, input, h("span", {}, TITLES[language]));
  });
  section.append(
    h(
      "div",
      { class: "bar" },
      h("fieldset", { class: "choice" }, h("legend", { class: "unseen" }, "Copy as"), choices),
      copyButton("Copy", () => programs[chosen]),
    ),
    code,
  );
  return (others) => {
    programs = others;
    show();
  };
}
