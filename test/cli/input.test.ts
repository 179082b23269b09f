/** Texts that no tool prints: a link to the playground may have one, and so may a log. */

import { suite } from "uvu";
import * as assert from "uvu/assert";
import { inputsOf } from "../../src/cli/input.ts";
import { abis } from "../../src/core/index.ts";

const test = suite("texts of control buffers");

const abi = abis["linux-x86_64-glibc"];
const read = (text: string): number | null => {
  try {
    const inputs = inputsOf(abi, new TextEncoder().encode(text), true, () => {});
    return inputs.reduce((sum, { control }) => sum + control.length, 0);
  } catch (error) {
    if ((error as { code?: string }).code !== "ERR_USAGE") throw error;
    return null;
  }
};

test("a text of any shape is read in a time that grows with its length alone", () => {
  const n = 1 << 17;
  const spaces = " ".repeat(n);
  for (const [name, text] of Object.entries({
    braces: "{".repeat(n),
    brackets: "[".repeat(n),
    "a quote and spaces": `"${spaces}x`,
    "JSON that does not end": '"data":['.repeat(n / 8),
    comments: "/* ".repeat(n / 3),
    "comments of lines": "// ".repeat(n / 3),
    "an address and spaces": `00000000: 00${spaces}x  y`,
    "an offset and spaces": `00000000  00${spaces}|x`,
    "spaces in lines": `00000000 ${" ".repeat(300)}x\n`.repeat(n / 300),
    "strace without an end": "msg_control=[".repeat(n / 13),
    "strace with comments": `msg_control=[${"/* ".repeat(n / 3)}`,
    "messages of strace": `msg_control=[${"{cmsg_len=20, ".repeat(n / 14)}], msg_controllen=3`,
  })) {
    const begin = performance.now();
    read(text);
    // In proportion it is a tenth of a second; some of these took a minute.
    assert.ok(performance.now() - begin < 5000, `${name}: ${Math.round(performance.now() - begin)} ms`);
  }
});

test("what stands for many bytes has a limit", () => {
  assert.is(read("{ 1 <repeats 5 times>, 2 }"), 6);
  assert.is(read(`{ ${"1 <repeats 1000000 times>, ".repeat(1000)} }`), null);
  assert.is(read("00000000: 00 01\n*\n00000010: 02"), 17);
  assert.is(read("00000000: 00 01\n*\nfffffff0: 02"), null);
  const header = 'msg_control=[{cmsg_len=20000000, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data="a"}]';
  assert.is(read(`${header}, msg_controllen=24`), 0);
});

test("a line has more bytes than a call takes arguments", () => {
  const n = 1 << 19;
  assert.is(read(`00000000: ${"ab".repeat(n)}`), n);
  assert.is(read(`"${"a".repeat(n)}"`), n);
  assert.is(read(`"${"a".repeat(16 * n)}"`), 16 * n);
  assert.is(read(`00000000: ${"ab".repeat(n)}\n*\n00100000: 02`), 2 * n + 1);
});

test.run();
