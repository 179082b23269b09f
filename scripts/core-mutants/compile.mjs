// Compiles assembly/ in this process, from texts.

import { readFileSync } from "node:fs";
import * as assemblyscript from "assemblyscript";
import asc, { libraryFiles } from "assemblyscript/asc";
import { sources } from "./generate.mjs";

const { options } = JSON.parse(readFileSync("asconfig.json", "utf8"));

/** The compiler's own library, parsed once: that takes most of the time. */
let library = null;

function sourceOf(path, texts) {
  const name = path.replace(/^assembly\//, "");
  return texts.get(`${name}.ts`);
}

/** Gives the program all its sources. */
function readSources(program, texts) {
  const { parse, nextFile } = assemblyscript;
  if (library !== null) program.sources.push(...library);
  else {
    for (const [name, text] of Object.entries(libraryFiles))
      if (!name.includes("/")) parse(program, text, `~lib/${name}.ts`, false);
    parse(program, libraryFiles[`rt/index-${options.runtime}`], `~lib/rt/index-${options.runtime}.ts`, true);
  }
  parse(program, texts.get("index.ts"), "assembly/index.ts", true);
  for (let path = nextFile(program); path !== null; path = nextFile(program)) {
    const name = path.replace("~lib/", "");
    if (!path.startsWith("~lib/")) parse(program, sourceOf(path, texts), `${path}.ts`, false);
    else if (libraryFiles[name] !== undefined) parse(program, libraryFiles[name], `${path}.ts`, false);
    else parse(program, libraryFiles[`${name}/index`], `${path}/index.ts`, false);
  }
  library ??= program.sources.filter(({ internalPath }) => internalPath.startsWith("~lib/"));
}

/**
 * Compiles without the optimizer, which changes nothing that a check sees: it keeps results, stores and traps.
 *
 * @param changed a file and its text, in the place of that of `assembly/`
 * @returns the `bytes` of the module, which are `optimized` on demand, and have to be disposed of; null when the compiler refuses it
 */
export function compile({ file, text } = {}) {
  const texts = sources();
  if (file !== undefined) texts.set(file, text);
  const { newOptions, newProgram, nextDiagnostic } = assemblyscript;
  const settings = newOptions();
  assemblyscript.setNoAssert(settings, options.noAssert);
  assemblyscript.setInitialMemory(settings, options.initialMemory);
  assemblyscript.setMaximumMemory(settings, options.maximumMemory);
  assemblyscript.setRuntime(settings, assemblyscript.Runtime.Stub);
  assemblyscript.addGlobalAlias(settings, "abort", "");
  const program = newProgram(settings);
  let module;
  try {
    readSources(program, texts);
    assemblyscript.initializeProgram(program);
    module = assemblyscript.compile(program);
  } catch {
    // The compiler gives up on some programs with an assertion of its own.
    return null;
  }
  let refused = !module.validate();
  for (let said = nextDiagnostic(program); said !== null; said = nextDiagnostic(program))
    refused ||= assemblyscript.isError(said);
  if (refused) {
    module.dispose();
    return null;
  }
  return {
    bytes: Buffer.from(module.toBinary(null).output),
    optimized: () => {
      module.optimize(options.optimizeLevel, options.shrinkLevel);
      return Buffer.from(module.toBinary(null).output);
    },
    dispose: () => module.dispose(),
  };
}

/** Compiles to what would ship. @returns the module; null when the compiler refuses the sources */
export async function compileOptimized({ file, text } = {}) {
  const texts = sources();
  if (file !== undefined) texts.set(file, text);
  const flags = Object.entries(options).flatMap(([key, value]) =>
    value === true ? [`--${key}`] : [`--${key}`, String(value)],
  );
  let wasm = null;
  const { error } = await asc.main(["assembly/index.ts", "-o", "core.wasm", ...flags], {
    readFile: (path) => texts.get(path.replace(/^assembly\//, "")) ?? null,
    writeFile: (path, contents) => {
      if (path === "core.wasm") wasm = contents;
    },
    listFiles: () => [],
    stdout: { write() {} },
    stderr: { write() {} },
  });
  return error === null ? wasm : null;
}
