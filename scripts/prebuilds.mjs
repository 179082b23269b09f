#!/usr/bin/env node
// Builds the addon for every processor that the package has one for, with Debian's cross compilers, into prebuilds/. Each file is
// checked: what it needs of the system, and that it has the checksum in native/prebuilds.sha256. `--record` writes the checksums.
// Arguments select processors by a part of their name.
//
// The same compilers and sources give the same bytes on every machine. `npm run build` uses the same flags: on an x86-64 Debian of the
// same version it builds the same file.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { ADDONS, dropNeeded, wrongWithAddon } from "./addon-files.mjs";
import { nativeSources } from "./build-native.mjs";
import { hasTool, inParallel, readOptions, run, select, Tally } from "./lane.mjs";
import { ZIG, zigFolder } from "./zig.mjs";

const ADDON = "unix-ancillary.node";
const CHECKSUMS = join("native", "prebuilds.sha256");
const MACOS = "11.0";
/** Bytes of the tarball; it has 299,635 (2026-12-01). */
const LIMIT = 300_000;

/** The compilers: on Debian, as `g++-T` names a package, `T-g++` names its program. */
const TRIPLES = {
  "linux-x64": "x86_64-linux-gnu",
  "linux-arm64": "aarch64-linux-gnu",
  "linux-arm": "arm-linux-gnueabihf",
  "linux-ppc64": "powerpc64le-linux-gnu",
  "linux-s390x": "s390x-linux-gnu",
  "linux-riscv64": "riscv64-linux-gnu",
  "linux-ia32": "i686-linux-gnu",
};
/** lld 14 keeps the names of what a file does not export, a sixth of the packed file. This leaves them out, and signs the file again. */
const STRIP = "llvm-strip";
const APPLE = { "darwin-x64": "x86_64", "darwin-arm64": "arm64" };

const options = readOptions({ record: { type: "boolean", default: false } }, { allowPositionals: true });
const targets = select(Object.keys(ADDONS), options.positionals, "processor");
const tally = new Tally();

const compilerOf = (target) => (target in TRIPLES ? `${TRIPLES[target]}-g++` : "clang++");

/** Ends the script when a compiler is missing. */
function needCompilers() {
  const missing = new Set();
  for (const target of targets) {
    if (target in APPLE && !hasTool("ld64.lld-14") && !hasTool("ld64.lld")) missing.add("lld");
    if (target in APPLE && !hasTool(STRIP)) missing.add("llvm");
    if (hasTool(compilerOf(target))) continue;
    if (target in APPLE) missing.add("clang");
    else missing.add(target === "linux-x64" ? "g++" : `g++-${TRIPLES[target].replace("_", "-")}`);
  }
  if (missing.size === 0) return;
  console.error(
    `Compilers are missing. On Debian 12:\n  apt-get install --no-install-recommends ${[...missing].join(" ")}`,
  );
  process.exit(1);
}

/** Apple's headers and its library, and the headers of a C++ library that suits them. */
function appleArguments(target) {
  const zig = zigFolder();
  if (zig === null) throw new Error(`${ZIG}, which has Apple's headers, cannot be installed`);
  const lib = join(zig, "lib");
  return {
    compiling: [
      `--target=${APPLE[target]}-apple-macos${MACOS}`,
      "-nostdlibinc",
      "-D_LIBCPP_PSTL_CPU_BACKEND_SERIAL",
      "-D_LIBCPP_HAS_NO_VENDOR_AVAILABILITY_ANNOTATIONS",
      ...["libcxx/include", "libc/include/any-macos-any"].flatMap((path) => ["-isystem", join(lib, path)]),
    ],
    // Where functions start, only debuggers read: 500 bytes of the two packed files.
    linking: ["-fuse-ld=lld", "-nostdlib", "-Wl,-no_function_starts", `-Wl,-platform_version,macos,${MACOS},14.0`],
    libraries: [join(lib, "libc", "darwin", "libSystem.tbd")],
  };
}

/** Builds one file. Returns its path and bytes. */
async function build(target) {
  const [platform] = target.split("-");
  const { sources, flags, linking, libraries } = nativeSources({ platform, strip: true });
  const apple = platform === "darwin" ? appleArguments(target) : { compiling: [], linking: [], libraries: [] };
  const folder = join("build", "prebuild", target);
  mkdirSync(folder, { recursive: true });
  // The name of the file is in the signature.
  const out = join(folder, ADDON);
  const args = [...flags, ...apple.compiling, "-Werror", ...linking, ...apple.linking, ...sources];
  const { code, output } = await run(compilerOf(target), [...args, ...libraries, ...apple.libraries, "-o", out]);
  if (code !== 0) throw new Error(output);
  if (target in APPLE) {
    const stripped = await run(STRIP, ["-x", out]);
    if (stripped.code !== 0) throw new Error(stripped.output);
  }
  const bytes = readFileSync(out);
  if (!(target in APPLE)) dropNeeded(bytes);
  writeFileSync(out, bytes);
  return { out, bytes };
}

/** The checksums in the repository, by path, in the format of sha256sum(1). */
function recorded() {
  if (!existsSync(CHECKSUMS)) return new Map();
  const lines = readFileSync(CHECKSUMS, "utf8").matchAll(/^([0-9a-f]{64}) {2}(.*)$/gm);
  return new Map([...lines].map(([, sum, path]) => [path, sum]));
}

async function versions() {
  const names = [...new Set(Object.keys(ADDONS).map(compilerOf))];
  const lines = await Promise.all(names.map(async (name) => (await run(name, ["--version"])).stdout.split("\n")[0]));
  return lines.filter(Boolean).join("; ");
}

needCompilers();
// Once, before several jobs ask for it.
if (targets.some((target) => target in APPLE)) zigFolder();
const known = recorded();
const jobs = targets.map((target) => async () => {
  const path = `prebuilds/${target}/${ADDON}`;
  let built;
  try {
    built = await build(target);
  } catch (error) {
    tally.result(false, target, error.message);
    return;
  }
  const { out, bytes } = built;
  const sum = createHash("sha256").update(bytes).digest("hex");
  const wrong = wrongWithAddon(target, bytes);
  if (bytes.includes(resolve("."))) wrong.push("it contains the path of this folder");
  if (!options.record && known.get(path) !== sum)
    wrong.push(`its checksum is ${sum}, ${CHECKSUMS} has ${known.get(path)}`);
  known.set(path, sum);
  tally.result(wrong.length === 0, `${target}  ${bytes.length} bytes`, wrong.join("\n"));
  mkdirSync(join("prebuilds", target), { recursive: true });
  renameSync(out, path);
});
await inParallel(jobs);
rmSync(join("build", "prebuild"), { recursive: true, force: true });
if (options.record && tally.failed === 0) {
  const paths = Object.keys(ADDONS).map((target) => `prebuilds/${target}/${ADDON}`);
  const lines = paths.filter((path) => known.has(path)).map((path) => `${known.get(path)}  ${path}\n`);
  writeFileSync(
    CHECKSUMS,
    `# The addons, as npm run prebuilds makes them with ${await versions()}.\n${lines.join("")}`,
  );
}
if (targets.length === Object.keys(ADDONS).length) {
  const { stdout } = await run(process.execPath, ["scripts/pack.mjs"]);
  const bytes = statSync(stdout.trim(), { throwIfNoEntry: false })?.size;
  tally.result(bytes <= LIMIT, `the tarball with all of them: ${bytes} bytes of at most ${LIMIT}`);
}
if (tally.failed > 0) {
  console.log(`The compilers here: ${await versions()}`);
}
tally.end();
