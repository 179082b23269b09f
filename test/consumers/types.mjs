// TypeScript: the declarations for programs of both kinds, with nothing skipped, with and without the types of Node.

import { join } from "node:path";

const node = process.execPath;
const VERSIONS = { 5.6: "typescript-5.6", 5.9: "typescript", 7: "typescript-7" };
const MODULES = { node16: "node16", nodenext: "nodenext", bundler: "esnext", node10: "commonjs" };

const PROGRAM = `
import { openSync, readFileSync } from "node:fs";
import { OwnedFd, UnixStream, type Platform } from "unix-ancillary";
import { AncillaryError, Codec, type Abi } from "unix-ancillary/core";
import { VirtualKernel } from "unix-ancillary/testing";

export async function pass(path: string): Promise<string> {
  const [left, right]: [UnixStream, UnixStream] = UnixStream.pair();
  const file: OwnedFd = OwnedFd.fromRaw(openSync(path, "r"));
  await left.sendFds("take this", [file]);
  file.close();
  const { data, fds } = await right.recvFds(1);
  const text = readFileSync(fds[0]!.fd, "utf8");
  for (const owner of [left, right, ...fds]) owner.close();
  return \`\${data.toString()}: \${text}\`;
}
const platform: Platform = new VirtualKernel("linux-x86_64-glibc", { seed: 1 }).process().platform;
const abi: Abi = new Codec(platform.abi).abi;
// One class, whatever imports it.
export const code = (error: unknown): string => (error instanceof AncillaryError ? error.code : abi.name);
void pass(process.env["CONSUMER_FILE"] as string).then((text) => console.log(text));
`;

/** What needs no types of Node. */
const CORE = `
import { Codec, abis, inspect, type ControlMessage } from "unix-ancillary/core";
const codec = new Codec("linux-x86_64-glibc");
const control: Uint8Array = codec.encode([codec.rights([1, 2, 3])]);
export const found: ControlMessage[] = [...codec.decode(control).messages];
export const text: string = inspect("linux-x86_64-glibc", control) + Object.keys(abis).length;
`;

/** The declarations of this package may need the types of Node, and nothing else that is not there. */
const NEEDS_NODE =
  /TS2688: Cannot find type definition file for 'node'|TS2307: Cannot find module 'node:|TS(2580|2591|2584|2304): Cannot find name '(process|Buffer|console|AbortSignal|node:\w+)'/;

function withTypeScript(version) {
  return async (context) => {
    const { name, project, tool, tally, start, succeeds, passes, tail } = context;
    const tsc = tool(VERSIONS[version], "tsc");
    const check = (folder, file, resolution, settings = {}) => {
      const options = { target: "es2022", lib: "es2022,esnext.disposable", ...settings };
      const flags = Object.entries({ module: MODULES[resolution], moduleResolution: resolution, ...options }).flatMap(
        ([key, value]) => [`--${key}`, String(value)],
      );
      return ["--strict", "--skipLibCheck", "false", ...flags, "--outDir", join(folder, "out"), join(folder, file)];
    };
    for (const resolution of Object.keys(MODULES)) {
      const files = { "package.json": '{ "private": true, "type": "commonjs" }' };
      for (const file of ["program.mts", "program.cts", "program.ts"]) files[file] = PROGRAM;
      const folder = project(`${name} ${resolution}`, { files, with: ["@types/node", "undici-types"] });
      if (version === "7" && resolution === "node10") {
        const { output } = await start(node, [tsc, ...check(folder, "program.ts", resolution)], { cwd: folder });
        tally.result(/TS5108|TS5107/.test(output), `${name}: it has no node10 any more`, tail(output));
        continue;
      }
      const kinds =
        resolution.startsWith("node1") && resolution !== "node16" ? ["program.ts"] : ["program.mts", "program.cts"];
      for (const file of resolution === "bundler" ? ["program.mts"] : kinds) {
        const what = `${name}, ${resolution}: ${file}`;
        const made = await succeeds(what, node, [tsc, ...check(folder, file, resolution, { types: "node" })], {
          cwd: folder,
        });
        const out = join(folder, "out", file.replace("ts", "js"));
        if (made !== null) await passes(what, node, [out], { cwd: folder });
      }
      const bare = project(`${name} ${resolution} bare`, { files: { "core.ts": CORE, "program.ts": PROGRAM } });
      const args = check(bare, "core.ts", resolution, { noEmit: true });
      const core = await succeeds(`${name}, ${resolution}: core without @types/node`, node, [tsc, ...args], {
        cwd: bare,
      });
      if (core !== null) tally.result(true, `${name}, ${resolution}: core without @types/node`);
      const whole = check(bare, "program.ts", resolution, { noEmit: true });
      const { output } = await start(node, [tsc, ...whole], { cwd: bare });
      const errors = output.split("\n").filter((line) => line.includes("error TS"));
      const others = errors.filter((line) => !NEEDS_NODE.test(line));
      const asks = errors.some((line) => /'node'|@types\/node/.test(line)) && others.length === 0;
      tally.result(
        asks,
        `${name}, ${resolution}: without @types/node the errors ask for it`,
        tail(others.join("\n") || output),
      );
    }
  };
}

export const types = Object.fromEntries(
  Object.keys(VERSIONS).map((version) => [`types ${version}`, withTypeScript(version)]),
);
