// The frame of every page of the site.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

/** Every page: nothing from elsewhere, no code but the site's own files, and Wasm. */
const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'";

const NAV = [
  ["index.html", "Playground"],
  ["travel.html", "How a descriptor travels"],
  ["guides/index.html", "Guides"],
  ["reference/index.html", "Reference"],
];

const GLYPH = `<svg viewBox="0 0 24 24" aria-hidden="true"><g fill="none" stroke="currentColor" stroke-width="1.8"><rect x="2" y="3" width="7" height="7" rx="1.6"/><rect x="15" y="14" width="7" height="7" rx="1.6"/><path d="M9 6.5h5a4.5 4.5 0 0 1 4.5 4.5v3M5.5 10v7.5h9.5" stroke-linecap="round"/></g></svg>`;

export const escapeHtml = (text) =>
  String(text).replace(
    /[&<>"]/g,
    (character) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[character],
  );

/** What the pages say about the module that they run. */
function aboutCore() {
  const bytes = readFileSync("dist/core/core.wasm");
  const { version } = JSON.parse(readFileSync("package.json", "utf8"));
  const sum = createHash("sha256").update(bytes).digest("hex");
  return `unix-ancillary ${version} · core.wasm, ${bytes.length} bytes, SHA-256 <code>${sum.slice(0, 16)}…</code> · MIT licence`;
}

/**
 * A page.
 *
 * @param path where it lies in the site, `/` between folders
 * @param section which entry of the navigation it belongs to
 */
export function page({ path, title, section, description = "", body, main = "" }) {
  const root = "../".repeat(path.split("/").length - 1);
  const links = NAV.map(
    ([href, name]) => `<a href="${root}${href}"${href === section ? ' aria-current="page"' : ""}>${name}</a>`,
  ).join("\n");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="description" content="${escapeHtml(description)}">
<title>${escapeHtml(title)}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="${root}assets/style.css">
<script src="${root}assets/theme.js"></script>
</head>
<body>
<a class="skip" href="#content">Skip to the contents</a>
<header class="site">
<a class="brand" href="${root}index.html">${GLYPH}unix-ancillary</a>
<nav aria-label="Site">
${links}
</nav>
<button type="button" id="theme" class="quiet" hidden></button>
</header>
<main id="content"${main}>
${body}
</main>
<footer>${aboutCore()}</footer>
</body>
</html>
`;
}
