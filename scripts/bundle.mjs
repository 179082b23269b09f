// src/ -> dist/: few files, as each costs a program 0.7 ms of its start, and forty of them half the time to its first message
// (2026-11).
//
//   core/internal.js   all of the core     core/index.js   its public list     together: unix-ancillary/core
//   index.js  testing.js  cli.js   the other entry points     shared-*.js   what they share

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

const core = resolve("src", "core");

/** The core is a file of its own, wherever it is imported. */
function apart(file) {
  return {
    name: "the core apart",
    setup({ onResolve }) {
      onResolve({ filter: /\.ts$/ }, ({ kind, path, resolveDir }) =>
        kind !== "entry-point" && dirname(join(resolveDir, path)) === core ? { path: file, external: true } : undefined,
      );
    },
  };
}

export async function bundle() {
  await build({ ...options, entryPoints: ["src/core/internal.ts"], outdir: "dist/core" });
  await build({
    ...options,
    entryPoints: ["src/core/index.ts"],
    outdir: "dist/core",
    plugins: [apart("./internal.js")],
  });
  await build({
    ...options,
    entryPoints: { index: "src/index.ts", testing: "src/testing/index.ts", cli: "src/cli/main.ts" },
    outdir: "dist",
    splitting: true,
    chunkNames: "shared-[hash]",
    plugins: [apart("./core/internal.js")],
  });
}

/** A module of src/, for a script. */
export async function sourceModule(path) {
  const { outputFiles } = await build({ ...options, entryPoints: [path], sourcemap: false, write: false });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
}
