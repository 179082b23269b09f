/** The playground: two views of one state, which the address has, too. */

import { buildView } from "./build.ts";
import { byId, copyButton, h } from "./dom.ts";
import { readView } from "./read.ts";
import { fromHash, type State, toHash } from "./state.ts";

/** Addresses longer than that are not kept: browsers and programs cut them. */
const ADDRESS = 60_000;

const begin = (): State => fromHash(location.hash);
let state = begin();
const views = ["read", "build"] as const;
const tabs = views.map((view) => ({ view, tab: byId<HTMLButtonElement>(`tab-${view}`), panel: byId(`panel-${view}`) }));

const changed = () => {
  show();
  const hash = `#${toHash(state)}`;
  history.replaceState(null, "", hash.length <= ADDRESS ? hash : "#");
};
const read = readView(() => state, changed);
const build = buildView(
  () => state,
  changed,
  (abi, text) => {
    Object.assign(state, { view: "read", abi, text, pick: 0, flags: [] });
    changed();
    byId("tab-read").focus();
  },
);

function show(): void {
  for (const { view, tab, panel } of tabs) {
    const chosen = view === state.view;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    panel.hidden = !chosen;
  }
  (state.view === "read" ? read : build).show();
}

for (const [i, { view, tab }] of tabs.entries()) {
  const choose = (to: (typeof views)[number]) => {
    state.view = to;
    changed();
    byId(`tab-${to}`).focus();
  };
  tab.addEventListener("click", () => choose(view));
  tab.addEventListener("keydown", ({ key }) => {
    if (key === "ArrowRight" || key === "ArrowLeft") choose(views[1 - i]!);
  });
}
window.addEventListener("hashchange", () => {
  state = begin();
  show();
});
byId("link").replaceWith(
  copyButton("Copy link", () => {
    const { href } = location;
    return `${href.replace(/#.*$/s, "")}#${toHash(state)}`;
  }),
);
try {
  show();
} catch (error) {
  // A browser without WebAssembly, or one that was told not to run it.
  byId("content").append(
    h("p", { class: "problem", role: "alert" }, `This page cannot run here: ${(error as Error).message}`),
  );
  for (const { panel } of tabs) panel.hidden = true;
}
