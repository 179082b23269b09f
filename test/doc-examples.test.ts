/** The examples in the doc comments, which the reference shows, are whole programs that run. */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { run } from "./support.ts";

const test = suite("examples in doc comments");

// Inside the package, where Node finds it by its own name.
const folder = resolve("build", "doc-examples");

for (const [entry, least] of [
  ["index", 2],
  ["core/index", 1],
  ["testing", 2],
] as const) {
  const text = readFileSync(join("dist", `${entry}.d.cts`), "utf8");
  const examples = [...text.matchAll(/^ *\* ```js\n([\s\S]*?)^ *\* ```$/gm)].map(([, body]) =>
    body!.replace(/^ *\* ?/gm, ""),
  );

  test(`${entry}: the examples are found`, () => {
    assert.ok(examples.length >= least, `${examples.length} examples`);
    assert.is(text.match(/```js/g)?.length, examples.length);
  });

  for (const [i, example] of examples.entries()) {
    test(`${entry}: example ${i + 1} runs, prints what it says, and leaks nothing`, async () => {
      mkdirSync(folder, { recursive: true });
      const file = join(folder, `${entry.replace("/", "-")}-${i + 1}.mjs`);
      writeFileSync(file, example);
      const { code, stdout, stderr } = await run(process.execPath, ["--expose-gc", file]);
      assert.is(code, 0, `${stderr}\n${example}`);
      assert.is(stderr, "", example);
      const said = [...example.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map(([, output]) => output!);
      // Node's way to show objects is one among several.
      const plain = (output: string) => output.replace(/["'\s,]/g, "");
      assert.is(plain(stdout), plain(said.join("")), example);
    });
  }
}

test.run();
