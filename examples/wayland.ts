/**
 * Wayland: a window whose pixels are in memory that the compositor gets as a descriptor.
 *
 * `node build/examples/wayland.js`. It starts Weston without a screen, shows a window (`wl_shm`, `xdg_wm_base`), and then has Weston write
 * what is on its output into other memory, where the pixels of the window must be. The wire format is in `wayland/wire.ts`.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { memfd, UnixStream } from "unix-ancillary";
import { Client } from "./wayland/client.ts";

/** Of the window, and of the output. */
const [WIDTH, HEIGHT] = [320, 200];
const [OUTPUT_WIDTH, OUTPUT_HEIGHT] = [800, 600];
const COLOUR = 0x3366cc;

const folder = mkdtempSync(join(tmpdir(), "unix-ancillary-wayland-"));
// `--debug` lets clients take pictures.
const weston = spawn(
  "weston",
  `--backend=headless-backend.so --use-pixman --no-config --idle-time=0 --debug --socket=display --width=${OUTPUT_WIDTH} --height=${OUTPUT_HEIGHT}`.split(
    " ",
  ),
  { stdio: "ignore", env: { ...process.env, XDG_RUNTIME_DIR: folder } },
);
process.on("exit", () => {
  weston.kill();
  rmSync(folder, { recursive: true });
});
weston.on("error", (error) => {
  console.log(`SKIPPED: needs Debian's weston: ${error.message}`);
  process.exit(77);
});

async function connected(): Promise<UnixStream> {
  for (;;) {
    try {
      return await UnixStream.connect(join(folder, "display"));
    } catch (error) {
      // It does not listen yet.
      if (weston.exitCode !== null) throw error;
      await sleep(10);
    }
  }
}

using client = new Client(await connected());
await client.start();
await client.show("hello from Node", COLOUR, WIDTH, HEIGHT);
using picture = memfd("picture", { size: 4 * OUTPUT_WIDTH * OUTPUT_HEIGHT });
const pixels = new Uint32Array(OUTPUT_WIDTH * OUTPUT_HEIGHT);
let ours = 0;
// At its start Weston fades from black.
for (let attempt = 0; attempt < 100 && ours < WIDTH * HEIGHT; attempt++) {
  await client.shoot(picture, OUTPUT_WIDTH, OUTPUT_HEIGHT);
  readSync(picture.fd, pixels, 0, pixels.byteLength, 0);
  ours = pixels.filter((pixel) => (pixel & 0xffffff) === COLOUR).length;
  await sleep(50);
}
assert.equal(ours, WIDTH * HEIGHT);
console.log(
  `held: Weston, with ${client.globals.length} interfaces, shows a window of ${ours} pixels from memory that it was given`,
);
weston.kill();
