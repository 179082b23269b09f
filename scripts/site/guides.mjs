// The guides: the documents of the repository as pages. Files that they link to become pages, too.

import { copyFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, extname, join, posix, relative } from "node:path";
import { escapeHtml, page } from "./page.mjs";

/** The documents: where each is, the name of its page, and its title in the list. */
const DOCUMENTS = [
  ["README.md", "index", "Read me"],
  ["examples/README.md", "examples", "Examples"],
  ["docs/testing.md", "testing", "Testing your own protocol"],
  ["docs/platforms.md", "platforms", "Platforms"],
  ["docs/performance.md", "performance", "Performance"],
  ["docs/audit.md", "audit", "Auditing the core"],
  ["fuzz/README.md", "fuzzing", "Fuzzing"],
  ["docs/architecture.md", "architecture", "Architecture"],
  ["docs/kernel-sources.md", "kernel-sources", "Lines of the kernels"],
  ["docs/bugs-of-others.md", "bugs-of-others", "Bugs in other programs"],
  ["SECURITY.md", "security", "Security"],
  ["CONTRIBUTING.md", "contributing", "Contributing"],
  ["CHANGELOG.md", "changelog", "Changelog"],
];

const pageOf = new Map(DOCUMENTS.map(([file, name]) => [file, `guides/${name}.html`]));

/** The anchor of a heading, as GitHub makes it. */
export const slug = (text) =>
  text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .replace(/\s/g, "-");

/** Writes the guides. `write(path, text)` writes a file of the site; `out` is its folder. `marked`: the library. */
export function guides({ marked, write, out }) {
  const sources = new Set();

  /** Where a link of a document leads in the site. */
  function target(from, here, href) {
    if (/^(https?:|mailto:)/.test(href)) return href;
    const [path, anchor] = href.split("#");
    const hash = anchor === undefined ? "" : `#${anchor}`;
    if (path === "") return hash;
    const file = posix.normalize(posix.join(posix.dirname(from), path));
    if (!existsSync(file)) throw new Error(`${from} links to ${href}, which does not exist`);
    const known = pageOf.get(file) ?? asset(file);
    return `${posix.relative(posix.dirname(here), known)}${hash}`;
  }

  /** A picture is copied; any other file becomes a page with its text. */
  function asset(file) {
    if ([".svg", ".png"].includes(extname(file))) {
      mkdirSync(join(out, "files", dirname(file)), { recursive: true });
      copyFileSync(file, join(out, "files", file));
      return `files/${file}`;
    }
    sources.add(file);
    return `source/${file}.html`;
  }

  for (const [file, name, title] of DOCUMENTS) {
    const here = `guides/${name}.html`;
    const contents = [];
    const taken = new Map();
    const renderer = {
      heading({ tokens, depth }) {
        const text = this.parser.parseInline(tokens);
        const plain = this.parser.parseInline(tokens, this.parser.textRenderer);
        const base = slug(plain);
        const times = taken.get(base) ?? 0;
        taken.set(base, times + 1);
        const id = times === 0 ? base : `${base}-${times}`;
        if (depth === 2) contents.push([id, text]);
        return `<h${depth} id="${escapeHtml(id)}">${text}</h${depth}>\n`;
      },
      link({ href, tokens }) {
        return `<a href="${escapeHtml(target(file, here, href))}">${this.parser.parseInline(tokens)}</a>`;
      },
      image({ href, text }) {
        return `<img src="${escapeHtml(target(file, here, href))}" alt="${escapeHtml(text)}">`;
      },
      code({ text, lang }) {
        return `<pre tabindex="0"><code${lang ? ` class="language-${escapeHtml(lang)}"` : ""}>${escapeHtml(text)}</code></pre>\n`;
      },
      table({ header, rows }) {
        const cells = (row, tag) =>
          `<tr>${row.map((cell) => `<${tag}${tag === "th" ? ' scope="col"' : ""}>${this.parser.parseInline(cell.tokens)}</${tag}>`).join("")}</tr>`;
        const titles = header.some(({ text }) => text !== "")
          ? `<thead>${cells(header, "th").replace(/<th scope="col"><\/th>/g, "<td></td>")}</thead>`
          : "";
        return `<div class="scroll" tabindex="0" role="group" aria-label="Table"><table>${titles}<tbody>${rows.map((row) => cells(row, "td")).join("\n")}</tbody></table></div>\n`;
      },
    };
    const parser = new marked.Marked({ gfm: true });
    parser.use({ renderer });
    const text = parser.parse(readFileSync(file, "utf8"));
    const list = DOCUMENTS.map(
      ([, other, label]) =>
        `<li><a href="${other}.html"${other === name ? ' aria-current="page"' : ""}>${escapeHtml(label)}</a>${
          other === name && contents.length > 1
            ? `<ul>${contents.map(([id, label]) => `<li><a href="#${escapeHtml(id)}">${label.replace(/<\/?a[^>]*>/g, "")}</a></li>`).join("")}</ul>`
            : ""
        }</li>`,
    );
    write(
      here,
      page({
        path: here,
        section: "guides/index.html",
        title: `${title} · unix-ancillary`,
        body: `<div class="guide"><nav aria-label="Guides"><ul>${list.join("\n")}</ul></nav>\n<article>${text}</article></div>`,
      }),
    );
  }

  for (const file of sources) {
    const here = `source/${file}.html`;
    const back = relative(dirname(here), "guides/index.html");
    write(
      here,
      page({
        path: here,
        section: "guides/index.html",
        title: `${file} · unix-ancillary`,
        body: `<p><a href="${back}">Guides</a></p><h1 class="path">${escapeHtml(file)}</h1><pre class="source" tabindex="0"><code>${escapeHtml(readFileSync(file, "utf8"))}</code></pre>`,
      }),
    );
  }
}
