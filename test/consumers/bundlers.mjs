// Bundlers. The addon is not part of a bundle. So each bundle runs with the package as an external one; alone, which has to fail with what
// to do; with the addons beside it; and with the variable.

import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const node = process.execPath;

/** Runs a bundle in each place. `bundle(external, out)` makes one in the folder `out`, and returns the name of its file. */
async function everywhere({ name, tally, tail, root, start, passes, without }, folder, bundle) {
  const external = join(folder, "external");
  await passes(`${name}: the package external`, node, [join(external, await bundle(true, external))], { cwd: folder });
  const made = join(folder, "bundled");
  const file = await bundle(false, made);
  // Elsewhere, and without the package at the place where it was bundled.
  const out = join(root, `${name.replace(/\W+/g, "-")}-moved`);
  cpSync(made, out, { recursive: true });
  rmSync(made, { recursive: true });
  await without(folder, async (aside) => {
    const alone = await start(node, [join(out, file)], { cwd: root });
    const helps = ["ERR_ADDON_NOT_FOUND", "mark unix-ancillary as external", '"prebuilds"', "UNIX_ANCILLARY_ADDON"];
    const missing = helps.filter((text) => !alone.output.includes(text));
    tally.result(
      alone.code === 1 && missing.length === 0,
      `${name}: bundled, no addon: says what to do`,
      tail(alone.output),
    );
    const addon = join(aside, "prebuilds", `${process.platform}-${process.arch}`, "unix-ancillary.node");
    const env = { UNIX_ANCILLARY_ADDON: addon };
    await passes(`${name}: bundled, with the variable`, node, [join(out, file)], { cwd: root, env });
    cpSync(join(aside, "prebuilds"), join(out, "prebuilds"), { recursive: true });
    await passes(`${name}: bundled, the addons beside it`, node, [join(out, file)], { cwd: root });
    rmSync(join(out, "prebuilds"), { recursive: true });
    cpSync(addon, join(out, "unix-ancillary.node"));
    await passes(`${name}: bundled, one addon beside it`, node, [join(out, file)], { cwd: root });
  });
}

/** A project of a bundler with the program in both kinds of module. */
function sources({ project, name, PROGRAM }) {
  return project(name, {
    files: { "program.mjs": PROGRAM.esm + PROGRAM.end, "program.cjs": PROGRAM.cjs + PROGRAM.end },
  });
}

/** Loads a tool. */
const load = (tools, ...path) => import(pathToFileURL(join(tools, ...path)));

function withEsbuild(entry, format) {
  return async (context) => {
    const { default: esbuild } = await load(context.tools, "esbuild", "lib", "main.js");
    const folder = sources(context);
    await everywhere(context, folder, async (external, out) => {
      const file = `bundle.${format === "esm" ? "mjs" : "cjs"}`;
      const { warnings } = await esbuild.build({
        entryPoints: [join(folder, entry)],
        outfile: join(out, file),
        bundle: true,
        platform: "node",
        format,
        minify: true,
        external: external ? ["unix-ancillary"] : [],
        logLevel: "silent",
      });
      context.tally.result(warnings.length === 0, `${context.name}: no warnings`, JSON.stringify(warnings));
      return file;
    });
  };
}

function withWebpack(entry, format) {
  return async (context) => {
    const { default: webpack } = await load(context.tools, "webpack", "lib", "index.js");
    const folder = sources(context);
    await everywhere(context, folder, async (external, out) => {
      const esm = format === "esm";
      const filename = `bundle.${esm ? "mjs" : "cjs"}`;
      const compiler = webpack({
        mode: "production",
        target: "node20",
        context: folder,
        entry: `./${entry}`,
        experiments: { outputModule: esm },
        externals: external
          ? { "unix-ancillary": `${entry.endsWith("mjs") && esm ? "module" : "commonjs"} unix-ancillary` }
          : {},
        output: { path: out, filename, module: esm, chunkFormat: esm ? "module" : "commonjs" },
      });
      const stats = await new Promise((done, failed) =>
        compiler.run((error, made) => (error ? failed(error) : done(made))),
      );
      const { errors, warnings, assets } = stats.toJson({ all: false, errors: true, warnings: true, assets: true });
      const found = [...errors, ...warnings].map(({ message }) => message);
      context.tally.result(found.length === 0, `${context.name}: no errors and no warnings`, found.join("\n"));
      const files = assets.map((asset) => asset.name);
      context.tally.result(files.join() === filename, `${context.name}: one file`, files.join(" "));
      return filename;
    });
  };
}

function withRollup(format) {
  return async (context) => {
    const { rollup } = await load(context.tools, "rollup", "dist", "es", "rollup.js");
    const { nodeResolve } = await load(context.tools, "@rollup/plugin-node-resolve", "dist", "es", "index.js");
    const folder = sources(context);
    await everywhere(context, folder, async (external, out) => {
      const warnings = [];
      const bundle = await rollup({
        input: join(folder, "program.mjs"),
        external: external ? ["unix-ancillary", /^node:/] : [/^node:/],
        plugins: [nodeResolve()],
        onwarn: (warning) => warnings.push(warning.message),
      });
      const file = `bundle.${format === "esm" ? "mjs" : "cjs"}`;
      await bundle.write({ file: join(out, file), format });
      context.tally.result(warnings.length === 0, `${context.name}: no warnings`, warnings.join("\n"));
      return file;
    });
  };
}

/** Vite's build for servers, which leaves the packages external unless it is told otherwise. */
async function withVite(context) {
  const { build } = await load(context.tools, "vite", "dist", "node", "index.js");
  const folder = sources(context);
  await everywhere(context, folder, async (external, out) => {
    await build({
      root: folder,
      configFile: false,
      logLevel: "silent",
      ssr: { noExternal: external ? [] : ["unix-ancillary"] },
      build: { ssr: join(folder, "program.mjs"), outDir: out, emptyOutDir: true },
    });
    return readdirSync(out).find((file) => /\.m?js$/.test(file));
  });
}

/** What a tracer finds is copied, and runs there. */
function withTracer(entry) {
  return async (context) => {
    const { nodeFileTrace } = await load(context.tools, "@vercel/nft", "out", "index.js").then(
      (nft) => nft.default ?? nft,
    );
    const folder = sources(context);
    const { fileList, warnings } = await nodeFileTrace([join(folder, entry)], { base: folder });
    const out = join(context.root, `${context.name.replace(/\W+/g, "-")}-traced`);
    mkdirSync(out);
    for (const file of fileList) cpSync(join(folder, file), join(out, file), { recursive: true });
    context.tally.result(warnings.size === 0, `${context.name}: no warnings`, [...warnings].join("\n"));
    await context.without(folder, () =>
      context.passes(`${context.name}: the traced files`, node, [join(out, entry)], { cwd: out }),
    );
  };
}

/** Node itself: both kinds of module, and both in one program, which have one instance. */
async function withNode(context) {
  const folder = sources(context);
  const both = join(folder, "both.mjs");
  writeFileSync(both, BOTH);
  for (const entry of ["program.mjs", "program.cjs"]) {
    await context.passes(`${context.name}: ${entry}`, node, [entry], { cwd: folder });
  }
  const { code, output } = await context.start(node, [both], { cwd: folder });
  context.tally.result(
    code === 0 && output === "one instance\n",
    `${context.name}: import and require: one instance`,
    context.tail(output),
  );
}

const BOTH = `
import { createRequire } from "node:module";
import * as imported from "unix-ancillary";
import * as core from "unix-ancillary/core";
import * as testing from "unix-ancillary/testing";
const require = createRequire(import.meta.url);
const same = (a, b) => Object.keys(b).every((name) => a[name] === b[name]) && Object.keys(b).length > 0;
if (!same(imported, require("unix-ancillary"))) throw new Error("unix-ancillary");
if (!same(core, require("unix-ancillary/core"))) throw new Error("core");
if (!same(testing, require("unix-ancillary/testing"))) throw new Error("testing");
// The files for jest.
if (!same(imported, require("./node_modules/unix-ancillary/dist/index.cjs"))) throw new Error("index.cjs");
if (!same(core, require("./node_modules/unix-ancillary/dist/core/index.cjs"))) throw new Error("core/index.cjs");
if (!same(testing, require("./node_modules/unix-ancillary/dist/testing.cjs"))) throw new Error("testing.cjs");
console.log("one instance");
`;

export const bundlers = {
  node: withNode,
  "esbuild to ESM": withEsbuild("program.mjs", "esm"),
  "esbuild to CommonJS": withEsbuild("program.mjs", "cjs"),
  "esbuild to CommonJS, from require": withEsbuild("program.cjs", "cjs"),
  "webpack to ESM": withWebpack("program.mjs", "esm"),
  "webpack to CommonJS": withWebpack("program.mjs", "cjs"),
  "webpack to CommonJS, from require": withWebpack("program.cjs", "cjs"),
  "rollup to ESM": withRollup("esm"),
  "rollup to CommonJS": withRollup("cjs"),
  "vite SSR": withVite,
  "nft, import": withTracer("program.mjs"),
  "nft, require": withTracer("program.cjs"),
};
