// The reference: TypeDoc's pages, changed so that they work from a folder.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** What stands for the site's folder in site/reference/typedoc.json: TypeDoc does not make links relative to each page. */
const SITE = "https://site.invalid/";

/**
 * Links of the pages to the rest of the site become relative. Icons are those of each page itself (assets/icons.js): a browser refuses
 * those of another file, and logs an error, where a page is opened from a folder.
 */
export function fromFolder(folder) {
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".html")) continue;
    const file = join(folder, name);
    const text = readFileSync(file, "utf8");
    const changed = text
      .replaceAll(SITE, "../".repeat(name.split("/").length))
      .replace(/"[./]*assets\/icons\.svg#/g, '"#');
    if (!text.includes(SITE) || !text.includes("icons.svg#"))
      throw new Error(`${name} has no link to the site, or no icon: this is for another TypeDoc`);
    writeFileSync(file, changed);
  }
}
