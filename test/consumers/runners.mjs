// Test runners, and runners of TypeScript.

import { writeFileSync } from "node:fs";
import { join } from "node:path";

const node = process.execPath;

const ASSERTION = `
test("a descriptor arrives", async () => {
  expect(await pass(process.env.CONSUMER_FILE)).toBe(process.env.CONSUMER_EXPECTED);
});
test("errors are what they seem", async () => {
  expect(() => OwnedFd.fromRaw(-1)).toThrow(/expected/);
  const [left, right] = UnixStream.pair();
  left.close();
  await expect(left.sendFds("x", [0])).rejects.toThrow(/closed/);
  right.close();
});
`;

/** Runs a test runner. Its report has to count the tests, and a test that fails has to be noticed. */
async function tests(context, folder, what, command, args, report, options = {}) {
  const { code, output, how } = await context.start(command, args, { cwd: folder, ...options });
  context.tally.result(code === 0 && report.test(output), what, `${context.tail(output)}\n${how}`);
}

/** Jest as it is without options: CommonJS. The package has to be the same in all files of a worker, and the descriptors have one owner. */
async function withJest(context) {
  const { PROGRAM, project, name, tool, tally, start, tail } = context;
  const folder = project(name, {
    files: {
      "program.test.js": `${PROGRAM.cjs}${ASSERTION}`,
      "second.test.js": `${PROGRAM.cjs}${ASSERTION}
test("the registry of jest has one copy after a reset, too", () => {
  const owner = OwnedFd.from(0);
  jest.resetModules();
  const again = require("unix-ancillary");
  expect(() => again.OwnedFd.fromRaw(owner.fd)).toThrow(expect.objectContaining({ code: "ERR_FD_OWNED" }));
  owner.close();
});
test("core and testing", () => {
  const { Codec } = require("unix-ancillary/core");
  const { VirtualKernel } = require("unix-ancillary/testing");
  const { platform } = new VirtualKernel("linux-x86_64-glibc", { seed: 1 }).process();
  expect(new Codec("linux-x86_64-glibc").abi.name).toBe(platform.abi.name);
  for (const socket of UnixStream.pair({ platform })) socket.close();
});
`,
      "jest.config.json": "{}",
    },
  });
  const jest = tool("jest");
  await tests(context, folder, `${name}: CommonJS`, node, [jest, "--ci", "-i"], /Tests: +6 passed, 6 total/);
  const env = { CONSUMER_EXPECTED: "another text" };
  const wrong = await start(node, [jest, "--ci", "-i", "program"], { cwd: folder, env });
  tally.result(
    wrong.code === 1 && /1 failed, 1 passed/.test(wrong.output),
    `${name}: notices a failure`,
    tail(wrong.output),
  );
  const modules = project(`${name} modules`, {
    files: {
      "program.test.mjs": `${PROGRAM.esm}${ASSERTION}`,
      "jest.config.json": '{ "testMatch": ["**/*.test.mjs"], "transform": {} }',
    },
  });
  const args = ["--experimental-vm-modules", jest, "--ci", "-i"];
  await tests(context, modules, `${name}: ES modules`, node, args, /Tests: +2 passed, 2 total/);
}

function withVitest(pool) {
  return async (context) => {
    const { PROGRAM, project, name, tool } = context;
    const folder = project(name, {
      with: ["vitest"],
      files: {
        "package.json": '{ "private": true, "type": "module" }',
        "program.test.js": `import { expect, test } from "vitest";\n${PROGRAM.esm}${ASSERTION}`,
      },
    });
    const args = [tool("vitest"), "run", "--pool", pool, "--no-file-parallelism"];
    await tests(context, folder, name, node, args, /Tests +2 passed \(2\)/);
    // The package is transformed, as the files of the project are.
    const inline = { test: { server: { deps: { inline: ["unix-ancillary"] } } } };
    writeFileSync(join(folder, "vitest.config.js"), `export default ${JSON.stringify(inline)};\n`);
    await tests(context, folder, `${name}, inlined`, node, args, /Tests +2 passed \(2\)/);
  };
}

/** The types are in the program, so that it has to be compiled. */
const typed = (text) => text.replace("pass(path)", "pass(path: string)");
const SETTINGS = { target: "es2022", strict: true, types: ["node"] };

async function withTsx(context) {
  const { PROGRAM, project, name, tool, passes } = context;
  const files = { "program.mts": typed(PROGRAM.esm) + PROGRAM.end, "program.cts": typed(PROGRAM.esm) + PROGRAM.end };
  const end = "process.env.CONSUMER_FILE";
  for (const file of Object.keys(files)) files[file] = files[file].replace(end, `${end} as string`);
  const folder = project(name, { files });
  for (const file of Object.keys(files)) await passes(`${name}: ${file}`, node, [tool("tsx"), file], { cwd: folder });
}

async function withTsNode(context) {
  const { PROGRAM, project, name, tools, passes } = context;
  const text = (typed(PROGRAM.esm) + PROGRAM.end)
    .replace("CONSUMER_FILE", "CONSUMER_FILE as string")
    .replace("fds[0].fd", "fds[0]!.fd");
  const compilerOptions = { ...SETTINGS, module: "node16", moduleResolution: "node16" };
  for (const type of ["commonjs", "module"]) {
    const folder = project(`${name} ${type}`, {
      with: ["ts-node", "typescript", "@types/node"],
      files: {
        "package.json": JSON.stringify({ private: true, type }),
        "program.ts": text,
        "tsconfig.json": JSON.stringify({ compilerOptions }),
      },
    });
    const loader =
      type === "module" ? ["--loader", join(tools, "ts-node", "esm.mjs")] : ["-r", join(tools, "ts-node", "register")];
    await passes(`${name}: ${type}`, node, ["--no-warnings", ...loader, "program.ts"], { cwd: folder });
  }
}

export const runners = {
  jest: withJest,
  ...Object.fromEntries(
    ["forks", "threads", "vmForks", "vmThreads"].map((pool) => [`vitest ${pool}`, withVitest(pool)]),
  ),
  tsx: withTsx,
  "ts-node": withTsNode,
};
