#!/usr/bin/env node
// Builds the site, a folder of static files that needs no server and no network: build/site/. `--serve`: then serves it on
// 127.0.0.1, at `--port` (8080). Its tools are installed in site/, if they are not there.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { rollup } from "rollup";
import { readOptions, wholeNumber } from "./lane.mjs";
import { guides } from "./site/guides.mjs";
import { page } from "./site/page.mjs";
import { fromFolder } from "./site/reference.mjs";
import { serve } from "./site/serve.mjs";
import { travel } from "./site/travel.mjs";

const options = readOptions({
  serve: { type: "boolean", default: false },
  port: { type: "string", default: "8080" },
  quiet: { type: "boolean", default: false },
});
const port = wholeNumber("port", options.port, 0);
process.chdir(join(dirname(fileURLToPath(import.meta.url)), ".."));
const out = resolve("build", "site");

function write(path, contents) {
  const file = join(out, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, contents);
}

/** Runs a program to its end; the script ends if it fails. */
function runOrEnd(command, ...args) {
  const { status, error } = spawnSync(command, args, {
    stdio: options.quiet ? ["ignore", "ignore", "inherit"] : "inherit",
  });
  if (status === 0) return;
  console.error(`${command} ${args.join(" ")}: ${error?.message ?? `exit code ${status}`}`);
  process.exit(1);
}

/** A script for a page, one file: pages opened from a folder load no modules. */
async function script(entry, name) {
  const bundled = await rollup({
    input: join("build", "site-scripts", entry),
    plugins: [
      {
        name: "shipped-files",
        // The core is the one that is published: the command's files get it from there, too.
        resolveId(specifier, from) {
          if (specifier === "unix-ancillary/core") return resolve("dist/core/index.js");
          if (specifier.startsWith("command/"))
            return resolve("build/lib/cli", `${specifier.slice("command/".length)}.js`);
          if (from?.includes("/build/lib/cli/") && specifier.startsWith("../core/"))
            return resolve("dist/core/internal.js");
          return null;
        },
      },
    ],
    onwarn({ message }) {
      throw new Error(message);
    },
  });
  const { output } = await bundled.generate({ format: "iife", strict: true });
  await bundled.close();
  write(`assets/${name}`, output[0].code);
}

/** Whether the tools in site/ are those of its package.json. */
function hasTools() {
  const { dependencies } = JSON.parse(readFileSync("site/package.json", "utf8"));
  return Object.entries(dependencies).every(([name, version]) => {
    const installed = join("site", "node_modules", name, "package.json");
    return existsSync(installed) && JSON.parse(readFileSync(installed, "utf8")).version === version;
  });
}

if (!hasTools())
  runOrEnd("npm", "install", "--prefix", "site", "--no-package-lock", "--no-audit", "--no-fund", "--silent");
rmSync(out, { recursive: true, force: true });
rmSync("build/site-scripts", { recursive: true, force: true });
runOrEnd(process.execPath, "node_modules/typescript/bin/tsc", "-p", "site");
await script("playground.js", "playground.js");
await script("theme.js", "theme.js");
const sheets = ["style", "playground", "travel", "guides"].map((name) =>
  readFileSync(`site/pages/${name}.css`, "utf8"),
);
write("assets/style.css", sheets.join("\n"));
write(
  "index.html",
  page({
    path: "index.html",
    section: "index.html",
    title: "Control buffers, byte by byte · unix-ancillary",
    description:
      "Decode and build control messages (cmsghdr, SCM_RIGHTS) of Linux, macOS, the BSDs and illumos, byte by byte.",
    body: readFileSync("site/pages/playground.html", "utf8"),
  }),
);
write(
  "travel.html",
  page({
    path: "travel.html",
    section: "travel.html",
    title: "How a descriptor travels · unix-ancillary",
    description:
      "File descriptors over Unix sockets, drawn: SCM_RIGHTS, truncation, CLOEXEC, and what seven systems do.",
    body: await travel(),
  }),
);
// Tools that only the site needs are in its own folder.
const tool = (path) => import(pathToFileURL(resolve("site", "node_modules", path)).href);
guides({ marked: await tool("marked/lib/marked.esm.js"), write, out });
runOrEnd(process.execPath, "site/node_modules/typedoc/bin/typedoc", "--options", "site/reference/typedoc.json");
fromFolder(join(out, "reference"));
if (!options.quiet) console.log(`built ${out}/index.html`);

if (options.serve) {
  const { url } = await serve(out, port);
  console.log(url);
}
