// The files of `npm test` on Bun and on Deno.
//
// The tests start Node by `process.execPath`, and with options of Node. Here this is a shell script that gives the options to the
// runtime in its own form, and then replaces itself with the runtime.
//
// test/runtimes/failures.json lists the tests that fail because of the runtime, see scripts/listed-suite.mjs.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { testFiles } from "./lane.mjs";
import { runListed, tallyResult } from "./listed-suite.mjs";

const TIMEOUT_MS = 180_000;
const ALONE_TIMEOUT_MS = 30_000;

/** Files that check the sources, the scripts, or Node's own permissions. */
const NOT_RUN = ["architecture", "package", "scripts", "system/permission"];

/** Makes the options of Node that the tests use, in `$@`, those of the runtime. `$program` is the runtime, `$preload` a module. */
const COMMANDS = {
  Bun: `export BUN_RUNTIME_TRANSPILER_CACHE_PATH=0
exec "$program" --preload "$preload" --expose-gc "$@"
`,
  Deno: `export DENO_NO_UPDATE_CHECK=1 DENO_DIR="$folder/cache"
flags=--expose-gc
while :; do
  case \${1-} in
    --expose-gc | --input-type=* | --no-warnings | --experimental-*) shift ;;
    -e | --eval)
      script=$2
      shift 2
      exec "$program" eval --no-lock --preload "$preload" --v8-flags="$flags" "$script" "$@"
      ;;
    -*)
      flags=$flags,$1
      shift
      ;;
    *) exec "$program" run --allow-all --no-lock --preload "$preload" --v8-flags="$flags" "$@" ;;
  esac
done
`,
};

/** Writes the script. Returns its path. */
function commandOf(name, program) {
  const folder = resolve("build", "runtimes", "bin", name);
  mkdirSync(folder, { recursive: true });
  const command = join(folder, "node");
  const preload = join(folder, "preload.mjs");
  writeFileSync(preload, `process.execPath = ${JSON.stringify(command)};\n`);
  const variables = `program='${program}'\nfolder='${folder}'\npreload='${preload}'\n`;
  writeFileSync(command, `#!/bin/sh\n${variables}${COMMANDS[name]}`, { mode: 0o755 });
  return command;
}

/**
 * Runs the suite on a runtime.
 *
 * @param name `"Bun"` or `"Deno"`
 * @param program the path of the runtime
 * @param only a part of the paths of the files that are run
 */
export async function runSuite(name, program, only, tally) {
  const command = commandOf(name, program);
  const failing = JSON.parse(readFileSync(join("test", "runtimes", "failures.json"), "utf8"))[name];
  const files = testFiles().filter((file) => !NOT_RUN.includes(file) && file.includes(only));
  for (const file of Object.keys(failing)) {
    if (only === "" && !files.includes(file)) tally.result(false, `${name}: failures.json names no file ${file}`);
  }
  const job = { failing, program: command, timeout: TIMEOUT_MS, aloneTimeout: ALONE_TIMEOUT_MS };
  const failed = [];
  const report = (result) => {
    if (result.title === undefined && !result.good) failed.push(result);
    else tallyResult(tally, name.padEnd(5), result);
  };
  await runListed({ ...job, files, report });
  // Threads report readiness there, and a busy machine lets them wait. So what fails runs once more, with nothing beside it.
  for (const { file, detail } of failed) {
    console.log(`FAILED ONCE ${name.padEnd(5)} ${file}\n${detail}`);
    const second = (result) => result.title === undefined && tallyResult(tally, name.padEnd(5), result);
    await runListed({ ...job, files: [file], most: 1, report: second });
  }
}
