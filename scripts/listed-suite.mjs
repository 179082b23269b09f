// The files of `npm test` with another program in place of Node, or on another machine. Tests that fail there because of it are listed,
// with the reason. They are skipped, and each of them runs alone: one that passes is an error, and so is one that does not exist. Those
// that fail only sometimes ("sometimes: ...") and those that would stop everything ("never: ...") do not run.

import { join } from "node:path";
import { inParallel, runTestFile } from "./lane.mjs";

/**
 * Runs test files.
 *
 * @param options `files`: their names; `failing`: by file and title, why a test is skipped ("*": the whole file); `program`: the
 *   program; `env`: more environment variables; `timeout` and `aloneTimeout` of a file and of a test that runs alone, in milliseconds;
 *   `most`: how many run at a time; `report`: called with each result, see below
 *
 * A result has a `file`, whether it is `good`, how many tests there are (`total`), have `passed` and were `skipped`, what was skipped
 * and why (`skips`), the titles of those that `failed`, whether it `ended` in time, `milliseconds`, and the `detail` of a failure. That of a test that ran alone has only `file`, `title`, `good` and
 * `detail`.
 */
export async function runListed({ files, failing, program, env = {}, timeout, aloneTimeout, most, report }) {
  const start = (file, limit, variables) =>
    runTestFile(join("build", "test", `${file}.test.js`), {
      program,
      timeout: limit,
      detached: true,
      env: { ...process.env, ...env, ...variables },
    });
  const whole = async (file) => {
    const variables = { UNIX_ANCILLARY_TEST_FAILING: JSON.stringify(failing[file] ?? {}) };
    const { output, detail, how, ...result } = await start(file, timeout, variables);
    const skips = [...output.matchAll(/^SKIPPED: (.*)$/gm)].map(([, what]) => what);
    // uvu names them, behind the name of their suite, which may have a space.
    const failed = [...output.matchAll(/^ *FAIL +[^"\n]+"(.*)"$/gm)].map(([, title]) => title);
    const ended = !/^killed after \d+ s$/m.test(output);
    report({ file, ...result, skips, failed, ended, detail: result.good ? "" : detail });
  };
  const alone = async (file, title, why) => {
    if (title === "*")
      report({
        file,
        good: true,
        total: 0,
        passed: 0,
        skipped: 1,
        skips: [`${file}: ${why}`],
        failed: [],
        ended: true,
        milliseconds: 0,
      });
    if (/^(sometimes|never): /.test(why)) return;
    const { good, total, skipped, output } = await start(
      file,
      aloneTimeout,
      title === "*" ? {} : { UNIX_ANCILLARY_TEST_ONLY: title },
    );
    // What is skipped has not passed.
    if (total === 0 && skipped > 0) return;
    const none = total === 0 && /Total: +0/.test(output);
    if (!good && !none) return;
    report({ file, title, good: false, detail: none ? "there is no such test" : "it passes; remove it from the list" });
  };
  const jobs = files.flatMap((file) => {
    const listed = Object.entries(failing[file] ?? {});
    const lone = listed.map(
      ([title, why]) =>
        () =>
          alone(file, title, why),
    );
    return listed.some(([title]) => title === "*") ? lone : [() => whole(file), ...lone];
  });
  await inParallel(jobs, most);
}

/** Prints a result of {@link runListed} and adds it to the tally. */
export function tallyResult(tally, name, { file, title, good, total, passed, skipped, skips, milliseconds, detail }) {
  if (title !== undefined) {
    tally.result(false, `${name} ${file}, ${title}: ${detail}`);
    return;
  }
  tally.skipped += skipped;
  // A file that is skipped as a whole is no result.
  if (total > 0 || !good) {
    const what = `${name} ${file.padEnd(36)} ${passed}/${total}  ${milliseconds} ms`;
    // A failure that no failed test explains counts as one.
    tally.result(good, what, detail, { passed, failed: total - passed || (good ? 0 : 1) });
  }
  for (const skip of skips) console.log(`      SKIPPED: ${skip}`);
}
