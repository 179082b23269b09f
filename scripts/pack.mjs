#!/usr/bin/env node
// Packs what npm packs, smaller: its files in another order, compressed with zopfli, the same format as zlib's, which Node and npm have, in
// 5% less. Writes the tarball to build/, or to the folder of `--to`, and prints its path, for npm publish: a whole one, which npm takes for
// no repository of GitHub.

import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { deflateRawSync, gunzipSync } from "node:zlib";
import zopfli from "@gfx/zopfli";
import { readOptions, run } from "./lane.mjs";

/** More iterations and blocks take longer, up to a minute, and gain 1% (2026-12-01). */
const ZOPFLI = { numiterations: 2, blocksplittingmax: 32 };

/** How far back deflate finds a repetition. */
const WINDOW_BYTES = 32768;

/**
 * How much a small file is favoured. One line more in a file can change the whole order, and the size by 1%: the best of these is taken
 * (2026-12-01).
 */
const WEIGHTS = [0.55, 0.7, 0.75];

const { to } = readOptions({ to: { type: "string", default: "build" } });
const { code, stdout, output } = await run("npm", ["pack", "--ignore-scripts", "--pack-destination", to]);
if (code !== 0) {
  console.error(output);
  process.exit(1);
}
const path = resolve(to, stdout.trim().split("\n").at(-1));
const files = filesOf(gunzipSync(readFileSync(path)));
const orders = WEIGHTS.map((weight) => inOrder(files, weight));
const sizes = orders.map((order) => deflateRawSync(order, { level: 9 }).length);
const tar = orders[sizes.indexOf(Math.min(...sizes))];
writeFileSync(path, await zopfli.gzipAsync(tar, ZOPFLI));
console.log(path);

/** The files of a tar archive, each with its header (ustar in pax(1)). */
function filesOf(tar) {
  const files = [];
  for (let at = 0; tar[at] !== 0; ) {
    const bytes = Number.parseInt(tar.toString("latin1", at + 124, at + 136), 8);
    const end = at + 512 + 512 * Math.ceil(bytes / 512);
    files.push(tar.subarray(at, end));
    at = end;
  }
  return files;
}

/**
 * An archive of the same files, each of which follows those that it has most in common with: 2% less of the packed archive (2026-12-01).
 * npm sorts by the endings of names, and so the core in Wasm is far from the command that contains it.
 */
function inOrder(files, weight) {
  const packed = (file, dictionary) => deflateRawSync(file.subarray(0, WINDOW_BYTES), { dictionary }).length;
  const ordered = files.filter((file) => file.toString("latin1", 0, 100).startsWith("package/package.json\0"));
  const left = new Map(files.filter((file) => !ordered.includes(file)).map((file) => [file, packed(file)]));
  while (left.size > 0) {
    const before = Buffer.concat(ordered).subarray(-WINDOW_BYTES);
    // By a power of its size: a small file, which has little to save, would come last, and be far from what it is like.
    const gains = [...left].map(([file, bytes]) => ({ file, gain: (bytes - packed(file, before)) / bytes ** weight }));
    const { file } = gains.reduce((best, other) => (other.gain > best.gain ? other : best));
    ordered.push(file);
    left.delete(file);
  }
  return Buffer.concat([...ordered, Buffer.alloc(1024)]);
}
