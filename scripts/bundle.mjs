// src/ -> dist/: few files, as each costs a program 0.7 ms of its start, and forty of them half the time to its first message
// (2026-11).
//
//   core/internal.js   all of the core      core/index.js                  its public list: together unix-ancillary/core
//   internal.js        all of the library   index.js  testing.js  cli.js   the other entry points

import { readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { build } from "esbuild";

const options = {
  bundle: true,
  format: "esm",
  // What there is of Node's is asked for at run time: see src/node/builtins.ts.
  platform: "neutral",
  external: ["node:*"],
  target: "node20.19",
  sourcemap: true,
  logLevel: "warning",
};

const modules = (folder) => readdirSync(join("src", folder)).map((file) => `./${folder}/${file}`);

/** All that the modules of some folders export to one another, as one file. */
function whole(folders, outfile, plugins) {
  const contents = folders
    .flatMap(modules)
    .filter((file) => !file.endsWith("/index.ts"))
    .map((file) => `export * from "${file}";`)
    .join("\n");
  return build({ ...options, stdin: { contents, resolveDir: "src", loader: "ts" }, outfile, plugins });
}

/** Modules of these folders are in a file of their own, wherever they are imported. */
function apart(folders, file) {
  const places = folders.map((folder) => resolve("src", folder));
  return {
    name: `${file} apart`,
    setup({ onResolve }) {
      onResolve({ filter: /\.ts$/ }, ({ kind, path, resolveDir }) =>
        kind !== "entry-point" && places.includes(dirname(join(resolveDir, path)))
          ? { path: file, external: true }
          : undefined,
      );
    },
  };
}

const CORE = ["core"];
const LIBRARY = ["node", "channel"];

export async function bundle() {
  const core = apart(CORE, "./core/internal.js");
  await whole(CORE, "dist/core/internal.js", []);
  await build({
    ...options,
    entryPoints: ["src/core/index.ts"],
    outdir: "dist/core",
    plugins: [apart(CORE, "./internal.js")],
  });
  await whole(LIBRARY, "dist/internal.js", [core]);
  await build({
    ...options,
    entryPoints: { index: "src/index.ts", testing: "src/testing/index.ts", cli: "src/cli/main.ts" },
    outdir: "dist",
    plugins: [core, apart(LIBRARY, "./internal.js")],
  });
}

/** A module of src/, for a script. */
export async function sourceModule(path) {
  const { outputFiles } = await build({ ...options, entryPoints: [path], sourcemap: false, write: false });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
}
