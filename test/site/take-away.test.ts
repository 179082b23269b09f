/** What one takes from the playground: links, and programs that run. */

import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Codec, inspect } from "unix-ancillary/core";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { run } from "../support.ts";
import { enter, type Page, program, stop, until, withPage } from "./site-support.ts";

const test = suite("links and programs of the playground");
test.after(stop);

const LINUX = "linux-x86_64-glibc";
const linux = new Codec(LINUX);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const good = linux.encode([linux.credentials({ pid: 77, uid: 2, gid: 3 }), linux.rights([7, 9])]);
const OVERRUNS =
  "1400000000000000 0100000001000000 0700000000000000 ff7f000000000000 0100000001000000 0800000000000000";

test("a link has the whole state, of both views", async () => {
  const context = { permissions: ["clipboard-read", "clipboard-write"] };
  // Both views, and which of them is shown.
  const everything = `(() => {
    const shown = document.querySelector("[aria-selected=true]").id;
    const seen = ["tab-read", "tab-build"].map((tab) => {
      document.getElementById(tab).click();
      const controls = [...document.querySelectorAll("main input, main select, main textarea")].filter((one) => one.type !== "file" && !/^(example|add-system)$/.test(one.id));
      return [document.querySelector("main").innerText, ...controls.filter((one) => one.checkVisibility()).map((one) => one.type === "checkbox" ? one.checked : one.value)];
    });
    document.getElementById(shown).click();
    return { shown, seen };
  })()`;
  for (const prepare of [
    async (page: Page) => {
      await enter(page, "darwin-arm64", "14 00 00 00 ff ff 00 00\n01 00 00 00 05");
      await page.locator("#max-fds").fill("3");
      await page.locator("#exactly").fill("2");
      await page.locator("#MSG_CTRUNC").check();
      await page.locator("#allow-truncated").check();
    },
    async (page: Page) => {
      await page.locator("#tab-build").click();
      await page.locator("#add-other").click();
      await page.locator("#add-credentials").click();
      await page.locator("#add-system").selectOption("netbsd-amd64");
      await page.locator("#add").click();
    },
  ]) {
    await withPage(
      "index.html",
      async (page) => {
        await prepare(page);
        const state = await page.evaluate(everything);
        await page.locator(".views > button").click();
        const link: string = await page.evaluate("navigator.clipboard.readText()");
        await until(page, `document.querySelector(".views > button").textContent === "Copy link"`);
        await page.goto("about:blank");
        await page.goto(link);
        assert.equal(await page.evaluate(everything), state);
      },
      { context, from: "" },
    );
  }
  // What is no state is as at first.
  await withPage(
    "index.html#abi=nothing&flags=x&maxFds=-1&exactly=1e9&buffer=7&message=x&systems=,x&text=00",
    async (page) => {
      assert.is(await page.locator("#abi").inputValue(), LINUX);
      assert.is(await page.locator("#max-fds").inputValue(), "16");
      assert.is(await page.locator("#exactly").inputValue(), "");
    },
  );
});

/** Runs a program of the page; it must succeed. */
async function runs(name: string, text: string, ...args: string[]): Promise<string> {
  // Below the package, where Node finds it by its own name.
  const folder = resolve("build", "site-programs");
  mkdirSync(folder, { recursive: true });
  const file = join(folder, name);
  writeFileSync(file, text);
  const { code, stdout, stderr } = await run(process.execPath, [...args, file]);
  assert.is(code, 0, `${stdout}${stderr}\n${text}`);
  return stdout;
}

async function compiles(name: string, text: string, expectedCode = 0): Promise<string> {
  const file = resolve("build", "site-programs", `${name}.c`);
  writeFileSync(file, text);
  const built = await run("cc", [
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fsanitize=address,undefined",
    "-o",
    `${file}.out`,
    file,
  ]);
  assert.is(built.code, 0, `${built.stderr}\n${text}`);
  const { code, stdout, stderr } = await run(`${file}.out`, []);
  assert.is(code, expectedCode, stderr);
  return stdout;
}

test("the programs that the page offers run: JavaScript, C and a test, of what was read and of what was built", async () => {
  const native = process.platform === "linux" && process.arch === "x64";
  await withPage("index.html", async (page) => {
    const time = { level: 1, type: 29, data: new Uint8Array(BigInt64Array.of(5n, 9n).buffer) };
    const all = linux.encode([
      linux.credentials({ pid: 77, uid: 2, gid: 3 }),
      linux.rights([7, -1]),
      time,
      { level: 1, type: 3, data: Uint8Array.of(0x61, 0) },
      { level: 9, type: 9, data: new Uint8Array(0) },
    ]);
    for (const [name, text, code] of [
      ["good", hex(good), 0],
      ["all", hex(all), 0],
      ["malformed", OVERRUNS, 1],
      ["empty", "", 0],
    ] as const) {
      await enter(page, LINUX, text);
      const control = Buffer.from(text.replace(/\s/g, ""), "hex");
      assert.match(await runs(`${name}.mjs`, await program(page, "read", "JavaScript")), inspect(LINUX, control));
      await runs(`${name}.test.mjs`, await program(page, "read", "test"), "--test");
      if (!native) continue;
      const lines = linux.decode(control).messages.map(({ level, type, data }) => {
        const fds = level === 1 && type === 1 ? linux.fdsOf({ level, type, data }) : [];
        return `cmsg_len ${16 + data.length}, cmsg_level ${level}, cmsg_type ${type}\n${fds.map((fd) => `  descriptor ${fd}\n`).join("")}`;
      });
      assert.is(
        await compiles(name, await program(page, "read", "C"), code),
        lines.join("") + (code === 0 ? "" : "malformed\n"),
      );
    }
    // A wrong test fails.
    await enter(page, LINUX, hex(good));
    const wrong = (await program(page, "read", "test")).replace('outcome: "ok"', 'outcome: "malformed"');
    let failed = false;
    await runs("wrong.test.mjs", wrong, "--test").catch(() => {
      failed = true;
    });
    assert.ok(failed);

    await page.evaluate(
      `location.hash = "#view=build&message=credentials~1~2~3&message=rights~3+4&message=other~SOL_SOCKET~SCM_TIMESTAMP~00112233445566770011223344556677&message=other~9~8~&systems=linux-x86_64-glibc,linux-s390x-glibc,freebsd-amd64"`,
    );
    await until(page, `document.querySelectorAll(".system").length === 3`);
    const built = linux.encode([
      linux.credentials({ pid: 1, uid: 2, gid: 3 }),
      linux.rights([3, 4]),
      { level: 1, type: 29, data: Buffer.from("00112233445566770011223344556677", "hex") },
      { level: 9, type: 8, data: new Uint8Array(0) },
    ]);
    assert.match(await runs("built.mjs", await program(page, "build", "JavaScript")), inspect(LINUX, built));
    await runs("built.test.mjs", await program(page, "build", "test"), "--test");
    if (native) assert.is(await compiles("built", await program(page, "build", "C")), `${hex(built)}\n`);
  });
  if (!native) console.log("SKIPPED: the programs in C are for Linux on x64");
});

test.run();
