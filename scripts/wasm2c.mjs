// The installed wasm2c, whose versions differ.

import { execFileSync } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import { join } from "node:path";

/** Where its runtime is: below the prefix that it is installed in. */
export function runtimeFolder() {
  const program = execFileSync("sh", ["-c", "command -v wasm2c"], { encoding: "utf8" }).trim();
  const prefixes = [join(realpathSync(program), "..", ".."), "/usr"].map((prefix) =>
    join(prefix, "share", "wabt", "wasm2c"),
  );
  const found = prefixes.find((path) => existsSync(join(path, "wasm-rt-impl.c")));
  if (found === undefined) throw new Error(`the runtime of wasm2c is not in ${prefixes.join(" or ")}`);
  return found;
}
