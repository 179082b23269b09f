// Runs in the machine: test files, as job.json or the file on the command line says. Each line that it prints has a result for the lane,
// after a mark.

import { readFileSync } from "node:fs";
import { runListed } from "../listed-suite.mjs";
import { machine } from "./say.mjs";

const { env, ...job } = JSON.parse(readFileSync(process.argv[2] ?? "job.json", "utf8"));
Object.assign(process.env, env);

/** A line of a console: short enough for its buffer, and of plain characters. */
const say = (value) =>
  console.log(
    `@@${JSON.stringify(value).replace(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)}`,
  );

say({ machine });
await runListed({
  ...job,
  report: (result) => say({ result: { ...result, detail: result.detail?.slice(-8000), output: undefined } }),
});
say({ end: true });
