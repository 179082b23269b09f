/** Pages of the built site in Chromium. What a page logs as an error, throws, or loads from elsewhere fails its test. */

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import * as assert from "uvu/assert";

/** The parts of playwright-core that are used. Its declarations are in site/, which other lanes do not install. */
export interface Page {
  goto(url: string): Promise<unknown>;
  reload(): Promise<unknown>;
  url(): string;
  close(): Promise<void>;
  on(
    event: string,
    listener: (given: { type(): string; text(): string; url(): string; message: string }) => void,
  ): void;
  addInitScript(script: string): Promise<void>;
  // biome-ignore lint/suspicious/noExplicitAny: what the script returns
  evaluate<Arg>(script: string | ((given: Arg) => unknown), given?: Arg): Promise<any>;
  screenshot(options: { path: string; fullPage?: boolean }): Promise<Buffer>;
  emulateMedia(options: { colorScheme?: "light" | "dark" }): Promise<void>;
  locator(selector: string): Locator;
  readonly keyboard: { press(key: string): Promise<void>; type(text: string): Promise<void> };
}
interface Locator {
  click(): Promise<void>;
  hover(): Promise<void>;
  check(): Promise<void>;
  fill(text: string): Promise<void>;
  selectOption(value: string | { label: string }): Promise<unknown>;
  setInputFiles(file: { name: string; mimeType: string; buffer: Buffer }): Promise<void>;
  textContent(): Promise<string>;
  allTextContents(): Promise<string[]>;
  inputValue(): Promise<string>;
  getAttribute(name: string): Promise<string | null>;
  isVisible(): Promise<boolean>;
  count(): Promise<number>;
  first(): Locator;
}
interface Context {
  newPage(): Promise<Page>;
  close(): Promise<void>;
}
interface Browser {
  newContext(options: Record<string, unknown>): Promise<Context>;
  close(): Promise<void>;
}

export const SITE: string = resolve("build", "site");
/** The address of a file of the site; the path may end with `#` and more. */
export const addressOf = (path: string): string => new URL(path, `${pathToFileURL(SITE).href}/`).href;

let browser: Browser | null = null;

async function start(): Promise<Browser> {
  const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find((path) => existsSync(path));
  if (executablePath === undefined) throw new Error("there is no Chromium: apt-get install chromium");
  const { chromium } = await import(pathToFileURL(resolve("site/node_modules/playwright-core/index.mjs")).href);
  return chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
  });
}

export async function stop(): Promise<void> {
  await browser?.close();
  browser = null;
}

export interface Options {
  /** Options of the browser's context. */
  readonly context?: Record<string, unknown>;
  /** Runs before the page's own scripts. */
  readonly script?: string;
  /** What addresses may begin with; by default the site's folder. */
  readonly from?: string;
}

/** Opens a page of the site, runs a test with it, and checks what the page did. */
export async function withPage(path: string, run: (page: Page) => Promise<void>, options: Options = {}): Promise<void> {
  browser ??= await start();
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options.context });
  const from = options.from ?? addressOf("");
  const wrong: string[] = [];
  try {
    const page = await context.newPage();
    page.on(
      "console",
      (message) =>
        void (message.type() === "error" || message.type() === "warning" ? wrong.push(message.text()) : null),
    );
    page.on("pageerror", ({ message }) => void wrong.push(message));
    page.on(
      "request",
      (request) =>
        void (/^data:/.test(request.url()) || request.url().startsWith(from) ? null : wrong.push(request.url())),
    );
    if (options.script !== undefined) await page.addInitScript(options.script);
    await page.goto(/^\w+:/.test(path) ? path : addressOf(path));
    await run(page);
    assert.equal(wrong, [], "what the page logged, threw, or loaded from elsewhere");
  } finally {
    await context.close();
  }
}

/** Waits until an expression is true in the page. */
export async function until(page: Page, expression: string): Promise<void> {
  for (const end = Date.now() + 15_000; !(await page.evaluate(expression)); ) {
    if (Date.now() > end) throw new Error(`never: ${expression}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Types a text into the playground, as one change, and chooses its ABI. */
export async function enter(page: Page, abi: string, text: string): Promise<void> {
  await page.locator("#abi").selectOption(abi);
  await page.locator("#text").fill(text);
}

/** The program that the playground shows. */
export async function program(
  page: Page,
  view: "read" | "build",
  language: "JavaScript" | "C" | "test" | "text",
): Promise<string> {
  await page.evaluate(`document.querySelector('#${view}-take input[value="${language}"]').click()`);
  return page.locator(`#${view}-take pre`).textContent();
}
