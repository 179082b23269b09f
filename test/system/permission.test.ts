/** `node --permission`: Node checks its own calls on files; the library's calls are the addon's. */

import { existsSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { UnixListener } from "unix-ancillary";
import * as assert from "uvu/assert";
import { leakChecked, role, run, socketPath } from "../support.ts";

const test = leakChecked("permission");

/** Node 20 calls it experimental; `--allow-addons` came with 20.12. */
const flag = ["--permission", "--experimental-permission"].find((name) =>
  process.allowedNodeEnvironmentFlags.has(name),
);
const allowed = process.allowedNodeEnvironmentFlags.has("--allow-addons");

/** Binds in a process that may not write files, and in which the library may be without its addon. */
async function bind(path: string, ...flags: string[]): Promise<string> {
  const { stdout, stderr } = await run(
    process.execPath,
    [flag!, "--allow-fs-read=*", ...flags, fileURLToPath(import.meta.url), path],
    { env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: "bind", NODE_NO_WARNINGS: "1" } },
  );
  assert.is(stderr, "");
  return stdout;
}

test.needing(
  flag !== undefined && allowed,
  "a Node with --permission and --allow-addons",
  "the socket's file has the mode that was given, and close removes it",
  async () => {
    const path = socketPath();
    assert.is(await bind(path, "--allow-addons"), "600\n");
    assert.not.ok(existsSync(path));
  },
);

test.needing(
  flag !== undefined && allowed,
  "a Node with --permission and --allow-addons",
  "without leave to load the addon, bind fails, names the flag, and there is no file",
  async () => {
    const path = socketPath();
    assert.match(await bind(path), /^unix-ancillary may not load its addon: .*--allow-addons/);
    assert.not.ok(existsSync(path));
  },
);

test.needing(
  process.allowedNodeEnvironmentFlags.has("--addons"),
  "a Node with --no-addons",
  "with --no-addons, the message does not name the flag of the permission model",
  async () => {
    const { stdout } = await run(process.execPath, ["--no-addons", fileURLToPath(import.meta.url), socketPath()], {
      env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: "bind" },
    });
    assert.match(stdout, /^unix-ancillary may not load its addon: .*without --no-addons/);
  },
);

if (role === undefined) test.run();
else {
  const path = process.argv[2]!;
  try {
    const listener = UnixListener.bind(path, { mode: 0o600 });
    console.log((statSync(path).mode & 0o777).toString(8));
    listener.close();
  } catch (error) {
    console.log((error as Error).message);
  }
}
