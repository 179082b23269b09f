// build/lib/ -> dist/: few files. Each file adds 0.7 ms to the start of a program; forty files took half of the time to its
// first message (2026-11).
//
//   core/internal.js   all of the core      core/index.js                  its public names: unix-ancillary/core
//   internal.js        all of the library   index.js  testing.js  cli.js   the other entry points

import { rollup } from "rollup";

const lib = (path) => `build/lib/${path}`;

export async function bundle() {
  const bundled = await rollup({
    input: {
      "core/index": lib("core/index.js"),
      index: lib("index.js"),
      testing: lib("testing/index.js"),
      cli: lib("cli/main.js"),
    },
    external: /^node:/,
    preserveEntrySignatures: "strict",
    onwarn({ message }) {
      throw new Error(message);
    },
  });
  await bundled.write({
    dir: "dist",
    format: "es",
    chunkFileNames: "[name].js",
    hoistTransitiveImports: false,
    minifyInternalExports: false,
    manualChunks(id) {
      if (/\/lib\/core\/(?!index\.js)/.test(id)) return "core/internal";
      if (/\/lib\/((system|fd|message|socket|channel)\/|systemd\.js)/.test(id)) return "internal";
      return undefined;
    },
  });
  await bundled.close();
}
