// build/lib/ -> dist/: few files. Each file adds 0.7 ms to the start of a program; forty files took half of the time to its
// first message (2026-11).
//
//   core/internal.js   all of the core      core/index.js                  its public names: unix-ancillary/core
//   internal.js        all of the library   index.js  testing.js  ...      the other entry points
//   *.cjs              what require() gives

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { rollup } from "rollup";
import { minify } from "terser";

/** What the language and the host provide. */
const GLOBALS =
  "AbortController AbortSignal Array ArrayBuffer BigInt BigUint64Array Buffer DOMException DataView Error EventTarget " +
  "FinalizationRegistry Function Int32Array JSON Map Math Number Object Promise RangeError Set String Symbol " +
  "TypeError URL Uint16Array Uint32Array Uint8Array WeakMap WeakSet WebAssembly process queueMicrotask";

/**
 * The first line of each file. Node parses all files before it runs any: one that is too old to parse them shows this line, with its
 * text, in its SyntaxError. A later one is told by src/system/builtins.ts.
 */
const FIRST_LINE =
  "(class { static {} }); // unix-ancillary needs Node 20.19 or later: an older one stops at this line";

/**
 * Each file of the library reads the globals that it uses once, when it is loaded. A program may replace them later (jsdom, polyfills,
 * sandboxes); what it puts there is not used. Those that the host does not have are undefined.
 */
const readGlobals = {
  name: "read-globals",
  renderChunk(code, { fileName }) {
    if (fileName === "cli.js") return null;
    const statements = code.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
    const used = GLOBALS.split(" ").filter((name) => new RegExp(`(?<![.\\w$])${name}\\b(?!:)`).test(statements));
    return used.length === 0 ? null : { code: `const { ${used.join(", ")} } = globalThis;\n${code}`, map: null };
  },
};

/**
 * V8 folds the constants of a module into compiled code, but loads and checks a binding of another module, or one that is exported, at
 * each use: 10 instructions for a property, 7 for a call (Node 20, 2026-11). So each file copies what it imports to constants, and exports
 * copies. What is exported is assigned while its file is loaded, and never again. A `var` needs no check whether it is initialized.
 */
const copyBindings = {
  name: "copy-bindings",
  renderChunk(code, { fileName }) {
    if (fileName === "cli.js") return null;
    const copied = code.replace(/^(import|export) \{ (.+?) \}( from '\..+')?;$/gm, (whole, kind, list, from) => {
      // What is only passed on has no binding in this file.
      if (kind === "export" && from !== undefined) return whole;
      const copies = [];
      const names = list.split(", ").map((each) => {
        const [name, as = name] = each.split(" as ");
        const copy = `${kind}_${as}`;
        copies.push(kind === "import" ? `${as} = ${copy}` : `${copy} = ${name}`);
        return kind === "import" ? `${name} as ${copy}` : `${copy} as ${as}`;
      });
      const statements = [`${kind} { ${names.join(", ")} }${from ?? ""};`, `const ${copies.join(", ")};`];
      return (kind === "import" ? statements : statements.reverse()).join("\n");
    });
    return { code: copied.replace(/^let /gm, "var "), map: null };
  },
};

/** The names that the entry points export. */
const publicNames = (chunks) => Object.values(chunks).flatMap((chunk) => (chunk.isEntry ? chunk.exports : []));

/**
 * Leaves out comments and indentation, and shortens the names of variables and of functions inside: they were half of the bytes of the
 * packed JavaScript. Classes, methods and public functions keep theirs, and lines stay short, so that a stack says where it was. The audit
 * looks for CORE_WASM. The command, which no program imports, is made as short as terser can.
 */
const compact = {
  name: "compact",
  async renderChunk(code, { fileName }, _, { chunks }) {
    const command = fileName === "cli.js";
    const kept = new RegExp(`^(${publicNames(chunks).join("|")})$`);
    const { code: compacted } = await minify(code, {
      compress: command,
      mangle: { toplevel: true, keep_classnames: true, keep_fnames: !command && kept, reserved: ["CORE_WASM"] },
      format: { max_line_len: 400 },
      ecma: 2022,
      module: true,
    });
    // After "#!/usr/bin/env node".
    return { code: compacted.replace(/^(?:#!.*\n)?/, `$&${FIRST_LINE}\n`), map: null };
  },
};

/**
 * What `require` gives: the ES module. So `import` and `require` have one instance of the library's state. Where `require` knows no ES
 * modules (jest; tsx on Node 20), they are loaded by Node's own.
 */
const commonjs = (name) => `try {
  module.exports = require("./${name}.js");
} catch {
  module.exports = require("node:module")._load(__dirname + "/${name}.js");
}
`;

/** Bundles what is built in a checkout, by default in this one. */
export async function bundle(root = ".") {
  const lib = (path) => join(root, "build", "lib", path);
  const bundled = await rollup({
    input: {
      "core/index": lib("core/index.js"),
      index: lib("index.js"),
      testing: lib("testing/index.js"),
      stream: lib("stream/index.js"),
      usocket: lib("usocket/index.js"),
      handoff: lib("handoff/index.js"),
      cli: lib("cli/main.js"),
    },
    external: /^node:/,
    plugins: [readGlobals, copyBindings, compact],
    preserveEntrySignatures: "strict",
    onwarn({ message }) {
      throw new Error(message);
    },
  });
  await bundled.write({
    dir: join(root, "dist"),
    format: "es",
    chunkFileNames: "[name].js",
    hoistTransitiveImports: false,
    // The site imports internals by their names. Short ones would save 600 bytes of the tarball.
    minifyInternalExports: false,
    manualChunks(id) {
      if (/\/lib\/core\/(?!index\.js)/.test(id)) return "core/internal";
      if (/\/lib\/((system|fd|message|socket|channel)\/|systemd\.js)/.test(id)) return "internal";
      return undefined;
    },
  });
  await bundled.close();
  for (const entry of ["index", "testing", "stream", "usocket", "handoff", "core/index"]) {
    writeFileSync(join(root, "dist", `${entry}.cjs`), commonjs(entry.split("/").at(-1)));
  }
}
