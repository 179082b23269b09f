/** All pages: links, accessibility, and how they look. */

import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { addressOf, type Page, SITE, stop, until, withPage } from "./site-support.ts";

const test = suite("pages of the site");
test.after(stop);

const all: readonly string[] = readdirSync(SITE, { recursive: true, encoding: "utf8" }).filter((name) =>
  name.endsWith(".html"),
);

/** The pages of each kind, in each state that looks different. */
const OVERRUNS = "140000000000000001000000010000000700000000000000ff7f00000000000001000000010000000800000000000000";
const VIEWS: Readonly<Record<string, string>> = {
  read: "index.html",
  malformed: `index.html#abi=linux-x86_64-glibc&text=${OVERRUNS}`,
  error: "index.html#text=xyz",
  build:
    "index.html#view=build&message=credentials~1~2~3&message=rights~3+4&message=other~9~9~00&systems=linux-x86_64-glibc,darwin-arm64,freebsd-amd64,linux-s390x-glibc",
  travel: "travel.html",
  guides: "guides/index.html",
  platforms: "guides/platforms.html",
  source: "source/examples/pty.ts.html",
};
const REFERENCE = [
  "reference/index.html",
  "reference/classes/unix-ancillary.UnixStream.html",
  "reference/modules/unix-ancillary_core.html",
];

test("every link of every page leads to a file of the site, and to a place in it", () => {
  assert.ok(all.length > 100, `${all.length} pages`);
  const text = new Map(all.map((name) => [name, readFileSync(join(SITE, name), "utf8")]));
  const ids = new Map<string, Set<string>>();
  const idsOf = (name: string): Set<string> => {
    let found = ids.get(name);
    if (found === undefined) {
      found = new Set([...text.get(name)!.matchAll(/\sid="([^"]*)"/g)].map(([, id]) => id!));
      ids.set(name, found);
    }
    return found;
  };
  const broken: string[] = [];
  let checked = 0;
  for (const [name, html] of text) {
    for (const [, href] of html.matchAll(/\s(?:href|src)="([^"]*)"/g)) {
      // An icon is put into the page by a script.
      if (/^(https?:|data:|#icon-)/.test(href!) || href === "#") continue;
      checked++;
      const [path, anchor] = href!.replaceAll("&amp;", "&").split("#");
      const file = path === "" ? name : join(dirname(name), decodeURIComponent(path!));
      if (!existsSync(join(SITE, file)) || !statSync(join(SITE, file)).isFile()) broken.push(`${name}: ${href}`);
      // Addresses of the playground have a state.
      else if (
        anchor !== undefined &&
        file.endsWith(".html") &&
        file !== "index.html" &&
        !idsOf(file).has(decodeURIComponent(anchor))
      )
        broken.push(`${name}: ${href}`);
    }
  }
  assert.ok(checked > 2000, `${checked} links`);
  assert.equal(broken, []);
});

test("nothing of the site is loaded from elsewhere, and no page has code inside it that its policy refuses", () => {
  for (const name of all.filter((one) => !one.startsWith("reference/"))) {
    const html = readFileSync(join(SITE, name), "utf8");
    assert.match(
      html,
      /http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'self' 'wasm-unsafe-eval';/,
      name,
    );
    assert.not.match(html, /<script>|\sstyle="|\son\w+="/, name);
    assert.not.match(html, /<(?:script|img|link)[^>]*(?:src|href)="https?:/, name);
  }
});

test("the reference has a page for every public class and function of each entry point", async () => {
  const names = (file: string): string[] => {
    const text = readFileSync(join("dist", file), "utf8");
    return [...text.matchAll(/^export (?:declare )?(?:abstract )?(class|function|interface) \*?(\w+)/gm)].map(
      ([, kind, name]) => {
        const module = {
          "index.d.cts": "unix-ancillary",
          "core/index.d.cts": "unix-ancillary_core",
          "testing.d.cts": "unix-ancillary_testing",
          "stream.d.cts": "unix-ancillary_stream",
          "usocket.d.cts": "unix-ancillary_usocket",
          "handoff.d.cts": "unix-ancillary_handoff",
        }[file]!;
        const folder = { class: "classes", function: "functions", interface: "interfaces" }[kind!]!;
        return `reference/${folder}/${module}.${name}.html`;
      },
    );
  };
  const expected = [
    "index.d.cts",
    "core/index.d.cts",
    "testing.d.cts",
    "stream.d.cts",
    "usocket.d.cts",
    "handoff.d.cts",
  ].flatMap(names);
  assert.ok(expected.length > 40, expected.join(" "));
  assert.equal(
    expected.filter((name) => !all.includes(name)),
    [],
  );
});

/** What axe finds wrong. The page's policy lets no script in; the browser's own interface does. */
async function wrongs(page: Page): Promise<string[]> {
  await page.evaluate(readFileSync("site/node_modules/axe-core/axe.min.js", "utf8"));
  const { violations } = await page.evaluate(`axe.run(document, { resultTypes: ["violations"], preload: false })`);
  return violations.flatMap(({ id, nodes }: { id: string; nodes: { html: string; failureSummary: string }[] }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 200)} ${failureSummary}`),
  );
}

const pictures = resolve("build", "site-pictures");

for (const [scheme, width] of [
  ["light", 1360],
  ["dark", 1360],
  ["light", 390],
  ["dark", 320],
] as const) {
  test(`axe finds nothing, nothing is wider than the window, and a picture is taken: ${scheme}, ${width} pixels`, async () => {
    mkdirSync(pictures, { recursive: true });
    for (const [name, path] of Object.entries(VIEWS)) {
      await withPage(
        path,
        async (page) => {
          await page.screenshot({ path: join(pictures, `${name}-${scheme}-${width}.png`), fullPage: true });
          assert.equal(await wrongs(page), [], name);
          assert.ok(
            await page.evaluate("document.documentElement.scrollWidth <= innerWidth"),
            `${name} is wider than ${width} pixels`,
          );
        },
        { context: { colorScheme: scheme, viewport: { width, height: 900 } } },
      );
    }
  });
}

test("the README's picture is one of the playground as it is: of its size, and small", async () => {
  const size = (file: string) => {
    const bytes = readFileSync(file);
    assert.is(bytes.toString("latin1", 1, 4), "PNG");
    return [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
  };
  await withPage(
    "index.html",
    async (page) => {
      await page.locator("#max-fds").fill("1");
      await page.evaluate("document.activeElement.blur()");
      await page.locator('#map button:has(.name:text-is("uid"))').hover();
      mkdirSync(pictures, { recursive: true });
      await page.screenshot({ path: join(pictures, "playground.png") });
    },
    { context: { colorScheme: "dark", viewport: { width: 1280, height: 1000 } } },
  );
  assert.match(readFileSync("README.md", "utf8"), "](docs/playground.png)");
  assert.equal(size("docs/playground.png"), size(join(pictures, "playground.png")));
  assert.ok(statSync("docs/playground.png").size < 150_000);
});

test("the pages of the reference log no error, and lead back", async () => {
  for (const path of REFERENCE)
    await withPage(path, async (page) => {
      await until(page, `document.querySelectorAll("#tsd-nav-container a, .tsd-navigation a").length > 10`);
      assert.equal(await page.locator("#tsd-toolbar-links a").allTextContents(), [
        "Playground",
        "How a descriptor travels",
        "Guides",
      ]);
    });
});

test("the theme is the system's, until the button chooses one, and it lasts", async () => {
  await withPage(
    "travel.html",
    async (page) => {
      const scheme = () =>
        page.evaluate(
          `getComputedStyle(document.body).colorScheme + getComputedStyle(document.documentElement).backgroundColor`,
        );
      const dark = await scheme();
      await page.locator("#theme").click();
      const light = await scheme();
      assert.is.not(light, dark);
      assert.is(await page.locator("#theme").getAttribute("aria-label"), "Theme: light");
      await page.reload();
      assert.is(await scheme(), light);
      // The reference has the same.
      await page.goto(addressOf("reference/index.html"));
      assert.is(await page.evaluate("document.documentElement.dataset.theme"), "light");
      await page.goto(addressOf("travel.html"));
      await page.locator("#theme").click();
      await page.emulateMedia({ colorScheme: "light" });
      assert.is(await page.locator("#theme").textContent(), "Dark");
      assert.is((await scheme()).split("rgb")[1], dark.split("rgb")[1]);
    },
    { context: { colorScheme: "dark" } },
  );
});

test("the table of seven systems says what the virtual kernel does", async () => {
  await withPage("travel.html", async (page) => {
    const cells: string[][] = await page.evaluate(
      `[...document.querySelectorAll(".rules tr")].map((row) => [...row.children].map((cell) => cell.textContent))`,
    );
    assert.equal(cells[0], ["", "Linux", "macOS", "FreeBSD", "OpenBSD", "NetBSD", "DragonFly BSD", "illumos"]);
    const row = (title: string) => cells.find(([first]) => first === title)?.slice(1);
    // As the kernels' sources say; see the guide with their lines.
    assert.equal(row("Most descriptors in one message"), ["253", "254", "254", "127", "1020", "84", "2045"]);
    assert.equal(row("Three sent, room for CMSG_SPACE(4)"), [
      "2 arrive, 1 is closed; MSG_CTRUNC",
      "1 arrives, 2 are open and not told; MSG_CTRUNC",
      "none arrives, 3 are closed; MSG_CTRUNC",
      "nothing arrives, the receive fails: EMSGSIZE",
      "none arrives, 3 are closed; MSG_CTRUNC",
      "2 arrive, 1 is open and not told; no MSG_CTRUNC",
      "1 arrives, 2 are closed; MSG_CTRUNC",
    ]);
    assert.equal(row("Too many in flight"), [
      "ETOOMANYREFS",
      "no such limit",
      "no such limit",
      "EMFILE",
      "EAGAIN",
      "no such limit",
      "no such limit",
    ]);
  });
});

test("served over HTTP it is the same site; what is outside its folder is not served", async () => {
  const { serve } = await import(pathToFileURL(resolve("scripts", "site", "serve.mjs")).href);
  const { server, url } = await serve(SITE, 0);
  try {
    await withPage(
      `${url}index.html`,
      async (page) => {
        assert.is(await page.locator(".outcome strong").textContent(), "ok");
        await page.locator('nav a[href="guides/index.html"]').click();
        assert.match(page.url(), /guides\/index\.html$/);
      },
      { from: url },
    );
    for (const path of ["%2e%2e/package.json", "..%2f..%2fpackage.json", "assets", "%00", "%zz", "nothing.html"])
      assert.is((await fetch(url + path)).status, 404, path);
    assert.is((await fetch(`${url}guides/`)).status, 200);
  } finally {
    server.close();
  }
});

test.run();
