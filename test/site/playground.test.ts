/** The playground in Chromium, opened from its folder: it says what the library says in Node. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { type AbiName, abis, Codec, inspect } from "unix-ancillary/core";
import { controlBuffers } from "unix-ancillary/testing";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { enter, type Page, program, stop, until, withPage } from "./site-support.ts";

/** What a screen reader says of the button of a part, as an expression of the page. */
const NAMED = `((part) => [part.querySelector(".name").textContent, part.querySelector(".value").textContent].filter((text) => text !== "").join(", ") + part.querySelector(".unseen").textContent)`;

const test = suite("playground");
test.after(stop);

const names = Object.keys(abis) as AbiName[];
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const LINUX = "linux-x86_64-glibc";
const linux = new Codec(LINUX);
const good = linux.encode([linux.credentials({ pid: 77, uid: 2, gid: 3 }), linux.rights([7, 9])]);
const OVERRUNS =
  "14000000 00000000 01000000 01000000 07000000 00000000 ff7f0000 00000000 01000000 01000000 08000000 00000000";

test("every ABI: the text, the map, the messages and the verdict are those of Node, for canonical and hostile buffers", async () => {
  await withPage("index.html", async (page) => {
    await program(page, "read", "text");
    let compared = 0;
    for (const abi of names) {
      const codec = new Codec(abi);
      const buffers = controlBuffers(abi, { seed: 11 });
      for (let round = 0; round < 6; round++) {
        const { control } = buffers.next().value;
        if (control.length === 0) continue;
        await page.evaluate(
          ({ abi, text }) => {
            const { document, Event } = globalThis as unknown as {
              document: { getElementById(id: string): { value: string; dispatchEvent(event: object): void } };
              Event: new (name: string) => object;
            };
            const set = (id: string, event: string, value: string) => {
              const element = document.getElementById(id);
              element.value = value;
              element.dispatchEvent(new Event(event));
            };
            set("abi", "change", abi);
            set("text", "input", text);
          },
          { abi, text: hex(control) },
        );
        const { messages, malformed } = codec.decode(control, { flags: 0 });
        const verdict = codec.verdict({ control, flags: 0, maxFds: 16 });
        const shown = await page.evaluate(`({
          text: document.querySelector("#read-take pre").textContent,
          bytes: [...document.querySelectorAll("#map .bytes > span")].map((byte) => byte.textContent).join(""),
          messages: document.querySelectorAll("#messages tbody tr").length,
          stopped: document.querySelector("#stopped").hidden ? null : document.querySelector("#stopped strong").textContent,
          outcome: document.querySelector(".outcome strong").textContent,
          kept: document.querySelector("#verdict dd").textContent,
        })`);
        assert.is(shown.text, inspect(abi, control), abi);
        assert.is(shown.bytes, hex(control.subarray(0, 2048)), abi);
        assert.is(shown.messages, messages.length, abi);
        assert.is(
          shown.stopped,
          malformed && `The walk stopped at offset ${malformed.offset}: ${malformed.reason}. `,
          abi,
        );
        assert.is(shown.outcome, verdict.outcome, abi);
        assert.is(shown.kept, verdict.keep.join(", ") || "none", abi);
        compared++;
      }
    }
    assert.ok(compared > 4 * names.length, `${compared} buffers`);
  });
});

test("a page runs one module, which is core.wasm", async () => {
  const script = `globalThis.modules = []; for (const name of ["Module", "compile", "instantiate"]) {
    const given = WebAssembly[name];
    const spied = function (bytes, ...rest) {
      if (bytes instanceof Uint8Array || bytes instanceof ArrayBuffer) modules.push([...new Uint8Array(bytes.buffer ?? bytes)]);
      return new.target ? new given(bytes, ...rest) : given(bytes, ...rest);
    };
    spied.prototype = given.prototype;
    WebAssembly[name] = spied;
  }`;
  await withPage(
    "index.html",
    async (page) => {
      await enter(page, LINUX, hex(good));
      await page.locator("#tab-build").click();
      const modules: number[][] = await page.evaluate("modules");
      assert.is(modules.length, 1);
      const shipped = readFileSync("dist/core/core.wasm");
      assert.ok(shipped.equals(Uint8Array.from(modules[0]!)));
      const sum = createHash("sha256").update(shipped).digest("hex");
      assert.match(await page.locator("footer").textContent(), sum.slice(0, 16));
    },
    { script },
  );
});

test("the host's guess is the first of all ABIs", async () => {
  for (const [platform, agent, expected] of [
    ["Linux x86_64", "X11; Linux x86_64", "linux-x86_64-glibc"],
    ["Linux aarch64", "X11; Linux aarch64", "linux-aarch64-glibc"],
    ["MacIntel", "Macintosh; Intel Mac OS X 10_15_7", "darwin-arm64"],
    ["FreeBSD amd64", "X11; FreeBSD amd64", "freebsd-amd64"],
    ["OpenBSD arm64", "X11; OpenBSD arm64", "openbsd-arm64"],
    ["Win32", "Windows NT 10.0; Win64; x64", "linux-x86_64-glibc"],
    ["Linux armv81", "Linux; Android 15", "android-aarch64-bionic"],
  ] as const) {
    await withPage(
      "index.html#text=00",
      async (page) => {
        assert.is(await page.locator("#abi").inputValue(), expected, platform);
        const options = await page.locator("#abi option").allTextContents();
        assert.is(options[0], expected);
        assert.equal([...options].sort(), [...names].sort());
      },
      {
        context: { userAgent: `Mozilla/5.0 (${agent}) AppleWebKit/537.36` },
        script: `Object.defineProperty(Navigator.prototype, "platform", { get: () => ${JSON.stringify(platform)} });`,
      },
    );
  }
});

test("a malformed buffer: where the walk stopped is marked, and why is said; with MSG_CTRUNC the message is clamped", async () => {
  await withPage("index.html", async (page) => {
    await enter(page, LINUX, OVERRUNS);
    assert.match(
      await page.locator("#stopped").textContent(),
      /offset 24: length-overruns\. cmsg_len is 32767.*24 bytes are left/,
    );
    const marked = await page.locator("#map button.stopped").count();
    assert.is(marked, 4);
    assert.match(
      await page.evaluate(`${NAMED}(document.querySelector("#map button.stop"))`),
      /^cmsg_len, 32767, offset 24, 8 bytes, the walk stopped here$/,
    );
    // The text is about the place where it stopped.
    assert.match(await page.locator("#map .told").textContent(), /reaches past the end/);
    assert.is(await page.locator(".outcome strong").textContent(), "malformed");
    await page.locator("#MSG_CTRUNC").check();
    assert.not.ok(await page.locator("#stopped").isVisible());
    assert.is(await page.locator(".outcome strong").textContent(), "ancillary-truncated");
    assert.match(await page.locator("#messages").textContent(), /8 bytes, cut/);
    for (const [text, reason] of [
      ["14 00 00", "header-truncated"],
      ["0f000000 00000000 01000000 01000000", "length-too-small"],
    ] as const) {
      await enter(page, LINUX, text);
      assert.match(await page.locator("#stopped").textContent(), reason);
    }
  });
});

test("the texts that tools print are read as the command reads them, and what is none is an error", async () => {
  await withPage("index.html", async (page) => {
    await program(page, "read", "text");
    const expected = inspect(LINUX, good);
    const octets = Array.from(good, (byte) => byte.toString(16).padStart(2, "0"));
    const rows = Array.from({ length: Math.ceil(good.length / 16) }, (_, i) => octets.slice(16 * i, 16 * i + 16));
    for (const text of [
      octets.join(" "),
      rows
        .map(
          (row, i) => `${(16 * i).toString(16).padStart(8, "0")}: ${row.join("").replace(/(.{4})(?=.)/g, "$1 ")}  ..`,
        )
        .join("\n"),
      `unsigned char control[] = { ${octets.map((one) => `0x${one}`).join(", ")} };`,
      `recvmsg(3, {msg_control=[{cmsg_len=28, cmsg_level=SOL_SOCKET, cmsg_type=SCM_CREDENTIALS, cmsg_data={pid=77, uid=2, gid=3}}, {cmsg_len=24, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[7, 9]}], msg_controllen=56, msg_flags=MSG_CTRUNC}, 0) = 1`,
    ]) {
      await enter(page, LINUX, text);
      assert.is(await page.locator("#read-take pre").textContent(), expected, text);
    }
    // The flags of the line of strace.
    assert.is(await page.locator(".outcome strong").textContent(), "ancillary-truncated");
    await enter(page, LINUX, "1400 zz");
    assert.match(
      await page.locator("#problem").textContent(),
      /^The text expected hex digits, got "z" after 4 digits$/,
    );
    const two = ["7", "8"].map(
      (fd) =>
        `recvmsg(3, {msg_control=[{cmsg_len=20, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[${fd}]}], msg_controllen=24, msg_flags=0}, 0) = 1`,
    );
    await enter(page, LINUX, two.join("\n"));
    await page.locator("#buffer").selectOption({ label: "2 of 2, 24 bytes" });
    assert.match(await page.locator("#messages").textContent(), "descriptor 8");
    await enter(page, LINUX, "");
    assert.match(await page.locator("#map").textContent(), "An empty control buffer");
  });
});

/** Drops a file onto the page. */
const drop = (page: Page, bytes: Uint8Array, name: string): Promise<unknown> =>
  page.evaluate(`{
    const given = new DataTransfer();
    given.items.add(new File([Uint8Array.from(${JSON.stringify([...bytes])})], ${JSON.stringify(name)}));
    for (const type of ["dragover", "drop"])
      document.body.dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer: given }));
  }`);

test("a dropped file and an opened one: bytes, or a text of them; one that is too large is refused", async () => {
  await withPage("index.html", async (page) => {
    await program(page, "read", "text");
    const shows = (text: string) =>
      until(page, `document.querySelector("#read-take pre").textContent === ${JSON.stringify(text)}`);
    await page.locator("#abi").selectOption(LINUX);
    await drop(page, good, "control.bin");
    await shows(inspect(LINUX, good));
    const one = linux.encode([linux.rights([70])]);
    await drop(page, Buffer.from(hex(one)), "control.txt");
    await shows(inspect(LINUX, one));
    assert.is(await page.locator("#text").inputValue(), hex(one));
    // Bytes that are printable, but no text that has bytes.
    const words = Buffer.from("no digits");
    await drop(page, words, "words");
    await shows(inspect(LINUX, words));
    await page.locator("#file").setInputFiles({ name: "control.bin", mimeType: "", buffer: Buffer.from(good) });
    await shows(inspect(LINUX, good));
    await page.locator("#file").setInputFiles({ name: "large", mimeType: "", buffer: Buffer.alloc((1 << 20) + 1) });
    await until(page, `document.querySelector("#problem").textContent.startsWith("large has 1048577 bytes")`);
    // More than any kernel delivers, and more than is drawn.
    await page.locator("#file").setInputFiles({ name: "long", mimeType: "", buffer: Buffer.alloc(70_000, 0xff) });
    await until(page, `document.querySelector("#verdict").textContent.includes("no verdict")`);
    assert.match(await page.locator("#map").textContent(), "The first 2048 of 70000 bytes are drawn");
  });
});

test("the verdict follows its settings, as in Node", async () => {
  await withPage("index.html", async (page) => {
    await enter(page, LINUX, hex(good));
    const facts = async () => (await page.locator("#verdict dd").allTextContents()).join("; ");
    assert.is(await facts(), "7, 9; none; pid 77, uid 2, gid 3");
    await page.locator("#max-fds").fill("1");
    assert.is(await facts(), "7; 9; pid 77, uid 2, gid 3");
    await page.locator("#exactly").fill("1");
    assert.is(await page.locator(".outcome").textContent(), "fd-countERR_FD_COUNT");
    await page.locator("#exactly").fill("x");
    assert.is(await page.locator("#exactly").getAttribute("aria-invalid"), "true");
    await page.locator("#exactly").fill("");
    await page.locator("#MSG_TRUNC").check();
    assert.is(await page.locator(".outcome").textContent(), "data-truncatedERR_DATA_TRUNCATED");
    await page.locator("#allow-truncated").check();
    assert.is(await page.locator(".outcome").textContent(), "ok");
  });
});

test("with the keyboard alone: from the top to the text, the map, its fields, the verdict and the other view", async () => {
  await withPage("index.html", async (page) => {
    const focused = () =>
      page.evaluate(
        `((at) => (at.matches(".part") ? ${NAMED}(at) : at.id || at.getAttribute("aria-label") || at.textContent))(document.activeElement)`,
      );
    const tabTo = async (wanted: string | RegExp) => {
      for (let i = 0; i < 30; i++) {
        await page.keyboard.press("Tab");
        const name: string = await focused();
        if (typeof wanted === "string" ? name === wanted : wanted.test(name)) return;
      }
      throw new Error(`no Tab reaches ${wanted}`);
    };
    const told = () => page.locator("#map .told").textContent();
    await page.keyboard.press("Tab");
    assert.is(await focused(), "Skip to the contents");
    await tabTo("text");
    await page.keyboard.press("Control+a");
    await page.keyboard.type(hex(good));
    await tabTo(/^cmsg_len, 28/);
    assert.match(await told(), /^cmsg_len 28 offset 0/);
    await page.keyboard.press("ArrowRight");
    assert.match(await told(), /^cmsg_level SOL_SOCKET \(1\) offset 8/);
    await page.keyboard.press("ArrowDown");
    assert.match(await told(), /^pid 77 offset 16/);
    await page.keyboard.press("End");
    assert.match(await focused(), /^descriptor, 9, offset 52, 4 bytes$/);
    await page.keyboard.press("ArrowUp");
    assert.match(await told(), /^cmsg_type SCM_RIGHTS/);
    await page.keyboard.press("Home");
    assert.match(await told(), /^cmsg_len 28/);
    await page.keyboard.press("ArrowLeft");
    assert.match(await told(), /^cmsg_len 28/);
    await tabTo("max-fds");
    await page.keyboard.press("Control+a");
    await page.keyboard.type("0");
    assert.match(await page.locator("#verdict").textContent(), "Closed7, 9");
    await tabTo("MSG_CTRUNC");
    await page.keyboard.press("Space");
    assert.is(await page.locator(".outcome strong").textContent(), "ancillary-truncated");
    await page.evaluate(`document.querySelector("#tab-read").focus()`);
    await page.keyboard.press("ArrowRight");
    assert.is(await focused(), "tab-build");
    await tabTo("add-rights");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Control+a");
    await page.keyboard.type("6 8");
    assert.match(await page.locator("#compare").textContent(), /descriptor.*06000000.*6/);
    await tabTo("Remove message 2");
    await page.keyboard.press("Enter");
    assert.is(await page.locator("#form fieldset").count(), 1);
    assert.is(await focused(), "add-rights");
  });
});

test("the pointer over a byte tells its field and value", async () => {
  await withPage("index.html", async (page) => {
    await enter(page, LINUX, hex(good));
    await page.locator('#map button:has(.name:text-is("uid"))').hover();
    assert.match(
      await page.locator("#map .told").textContent(),
      /^uid 2 offset 20 \(0x14\), 4 bytes: 02 00 00 00The sender's user\.$/,
    );
  });
});

test("built messages are what the codec encodes for each system; what differs is marked", async () => {
  await withPage("index.html#view=build&message=rights~3+4", async (page) => {
    await program(page, "build", "text");
    for (let i = 0; i < names.length; i += 8) {
      const group = names.slice(i, i + 8);
      await page.evaluate(
        `location.hash = "#view=build&message=rights~3+4&message=other~7~9~0a0b&systems=${group.join(",")}"`,
      );
      await until(page, `document.querySelector("#compare h3").textContent.endsWith(${JSON.stringify(group[0])})`);
      const controls = group.map((abi) => {
        const codec = new Codec(abi);
        return {
          abi,
          control: codec.encode([codec.rights([3, 4]), { level: 7, type: 9, data: Uint8Array.of(10, 11) }]),
        };
      });
      assert.is(
        await page.locator("#build-take pre").textContent(),
        controls.map(({ abi, control }) => inspect(abi, control)).join("\n"),
      );
      const drawn: string[] = await page.evaluate(
        `[...document.querySelectorAll(".system")].map((one) => [...one.querySelectorAll(".bytes > span")].map((byte) => byte.textContent).join(""))`,
      );
      assert.equal(
        drawn,
        controls.map(({ control }) => hex(control)),
      );
    }
    const marks = async (systems: string) => {
      await page.evaluate(`location.hash = "#view=build&message=rights~3&systems=${systems}"`);
      await until(page, `document.querySelectorAll(".system").length === 2`);
      return page.evaluate(
        `[...document.querySelectorAll(".system:last-child button.differs")].map((one) => one.querySelector(".name").textContent + ":" + one.querySelector(".unseen").textContent.split("differs: ")[1])`,
      );
    };
    assert.equal(await marks("linux-x86_64-glibc,linux-aarch64-glibc"), []);
    assert.equal(await marks("linux-x86_64-glibc,linux-s390x-glibc"), [
      "cmsg_len:the same value in another byte order",
      "cmsg_level:the same value in another byte order",
      "cmsg_type:the same value in another byte order",
      "descriptor:the same value in another byte order",
    ]);
    assert.equal(await marks("linux-x86_64-glibc,darwin-arm64"), [
      "cmsg_len:4 bytes, not 8; 16, not 20",
      "cmsg_level:at offset 4, not 8; 65535, not 1",
      "cmsg_type:at offset 8, not 12",
      "descriptor:at offset 12, not 16",
    ]);
  });
});

test("what a system does not send is said in its column, and a field that is none too", async () => {
  await withPage(
    "index.html#view=build&message=credentials~1~2~3&systems=linux-x86_64-glibc,darwin-arm64",
    async (page) => {
      assert.is(
        await page
          .locator(".system .problem")
          .allTextContents()
          .then((all) => all.join()),
        "senders attach no credentials on this system",
      );
      await page.evaluate(
        `location.hash = "#view=build&message=rights~3&message=rights~4&systems=illumos-amd64,openbsd-amd64"`,
      );
      await until(page, `document.querySelector("#compare").textContent.includes("refuses more than one SCM_RIGHTS")`);
      await page.locator("#form input").first().fill("3 x");
      assert.match(
        await page.locator(".system .problem").first().textContent(),
        /a descriptor expected a whole number from -2147483648 to 2147483647, got "x"/,
      );
      await page.locator("#form input").first().fill(new Array(300).fill("1").join(" "));
      assert.match(await page.locator(".system .problem").first().textContent(), /"fds" expected at most/);
    },
  );
});

test("the examples are what their names say", async () => {
  await withPage("index.html", async (page) => {
    const seen: string[] = [];
    const names = (await page.locator("#example option").allTextContents()).slice(1);
    for (const label of names) {
      await page.locator("#example").selectOption({ label });
      const says = await page.locator("#messages tbody td:last-child").allTextContents();
      const stopped = await page.locator("#stopped strong").allTextContents();
      const outcome = await page.locator(".outcome strong").textContent();
      assert.not.ok(await page.locator("#problem").isVisible(), label);
      seen.push(`${label}: ${[...says, ...stopped.map((text) => text.trim()), outcome].join("; ")}`);
    }
    assert.equal(seen, [
      "Linux: credentials and two descriptors: pid 1234, uid 1000, gid 1000; descriptors 7, 9; ok",
      "strace: a truncated receive: descriptors 4, 5; ancillary-truncated",
      "macOS: no padding, another SOL_SOCKET: descriptors 5, 6; ok",
      "Big-endian: s390x, as a C array: descriptor 7; ok",
      "FreeBSD: credentials of the sender: pid 3387, uid 1001, gid 1001; ok",
      "Malformed: a length that reaches past the end: descriptor 7; The walk stopped at offset 24: length-overruns.; malformed",
      "Wrong ABI: bytes of macOS, read as Linux's: The walk stopped at offset 0: length-overruns.; malformed",
    ]);
  });
});

test("without WebAssembly the page says so", async () => {
  await withPage(
    "index.html",
    async (page) => {
      assert.match(await page.locator('[role="alert"]').textContent(), /^This page cannot run here: .*no WebAssembly/);
      assert.not.ok(await page.locator("#panel-read").isVisible());
    },
    { script: "delete globalThis.WebAssembly;" },
  );
});

test.run();
