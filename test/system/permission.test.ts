/** `node --permission`: Node refuses calls by itself, with errors that no system call made. */

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

test.needing(
  flag !== undefined && allowed,
  "a Node with --permission and --allow-addons",
  "a chmod that Node refuses is no success: no socket listens with the wrong mode",
  async () => {
    const path = socketPath();
    const { stdout, stderr } = await run(
      process.execPath,
      [flag!, "--allow-fs-read=*", "--allow-addons", fileURLToPath(import.meta.url), path],
      { env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: "bind", NODE_NO_WARNINGS: "1" } },
    );
    assert.is(stdout, "EACCES: permission denied, chmod\n", stderr);
    // Node refused the unlink too.
    assert.is(existsSync(path) && statSync(path).isSocket(), true);
  },
);

if (role === undefined) test.run();
else {
  try {
    UnixListener.bind(process.argv[2]!, { mode: 0o600 }).close();
    console.log("it listened");
  } catch (error) {
    console.log((error as Error).message);
  }
}
