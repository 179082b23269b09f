/** Completion, by the shells themselves, and the manual page, by the programs that read it. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { abis } from "unix-ancillary/core";
import * as assert from "uvu/assert";
import { leakChecked, run, temporaryFolder, works } from "../support.ts";
import { cli } from "./cli-support.ts";

const test = leakChecked("completion");
const folder = temporaryFolder();
writeFileSync(join(folder, "a file.bin"), "");
writeFileSync(join(folder, "control.bin"), "");

/** Presses keys in an interactive shell on a terminal, where the command is a function that prints its arguments. */
const KEYS = `
import json, os, pty, select, sys, time
lines, setup, shell = json.loads(sys.argv[1]), sys.argv[2].encode(), sys.argv[3:]
pid, terminal = pty.fork()
if pid == 0: os.execvp(shell[0], shell)
out = b""
def until(text):
    global out
    end = time.monotonic() + 20
    while text not in out:
        if time.monotonic() > end: sys.exit("no %r in %r" % (text, out))
        if select.select([terminal], [], [], 0.1)[0]: out += os.read(terminal, 65536)
    before, _, out = out.partition(text)
    return before.decode()
os.write(terminal, setup + b"\\n")
until(b"READY=1")
for line in lines:
    os.write(terminal, line.encode() + b"\\n")
    print(json.dumps(until(b"=END")))
os.close(terminal)
os.kill(pid, 9)
os.waitpid(pid, 0)
`;

/** The arguments of the command lines that these keys make. */
async function pressed(shell: string, keys: readonly string[]): Promise<string[][]> {
  const script = join(folder, `completion.${shell}`);
  writeFileSync(script, (await cli(["completion", shell])).stdout);
  const print = `unix-ancillary() { printf '<%s>' "$@"; echo "=E""ND"; }`;
  const load = shell === "zsh" ? "autoload -U compinit; compinit -u -D" : "bind 'set enable-bracketed-paste off'";
  const setup = `${load}; ${print}; source ${script}; cd ${folder}; echo READY""=1`;
  const start = shell === "zsh" ? ["zsh", "-f", "-i"] : ["bash", "--norc", "--noprofile", "-i"];
  const lines = JSON.stringify(keys.map((one) => `unix-ancillary ${one}`));
  const env = { ...process.env, PS1: "$ ", TERM: "dumb", HOME: folder, HISTFILE: "" };
  const { code, stdout, stderr } = await run("python3", ["-c", KEYS, lines, setup, ...start], { env });
  assert.is(code, 0, stderr);
  // Behind the echo of the keys.
  return stdout
    .trim()
    .split("\n")
    .map((row) => (JSON.parse(row) as string).split("\n").at(-1)!)
    .map((row) => [...row.matchAll(/<([^<>]*)>/g)].map(([, word]) => word!));
}

const LINES: readonly (readonly [string, readonly string[]])[] = [
  ["se\t", ["send"]],
  ["comp\tfi\t", ["completion", "fish"]],
  ["send --op\tread-w\t", ["send", "--open", "read-write"]],
  ["send --open=app\t", ["send", "--open", "append"]],
  ["decode --abi=darwin-a\tcont\t", ["decode", "--abi", "darwin-arm64", "control.bin"]],
  ["decode a\\ f\t", ["decode", "a file.bin"]],
  ["recv --qui\tcont\t", ["recv", "--quiet", "control.bin"]],
  ["listen @x --exec sha256su\tcont\t", ["listen", "@x", "--exec", "sha256sum", "control.bin"]],
];

for (const shell of ["bash", "zsh"]) {
  const available = works("python3", ["-c", "import pty"]) && works(shell, ["-c", "true"]);
  const title = `${shell} completes commands, options, values, files and the command of --exec`;
  test.needing(available, `${shell}, and python3`, title, async () => {
    const made = await pressed(
      shell,
      LINES.map(([keys]) => keys),
    );
    // An option and its value may be joined by "=".
    const apart = made.map((words) => words.flatMap((word) => /^(--\w+)=(.*)$/.exec(word)?.slice(1) ?? [word]));
    assert.equal(
      apart,
      LINES.map(([, words]) => words),
    );
  });
}

/** What fish offers behind command lines, without the descriptions. */
async function offered(lines: readonly string[]): Promise<string[][]> {
  const script = join(folder, "completion.fish");
  writeFileSync(script, (await cli(["completion", "fish"])).stdout);
  const program = lines.map((line) => `complete -C ${JSON.stringify(line)}; echo =END`);
  const { code, stdout, stderr } = await run(
    "fish",
    ["--no-config", "-c", `source ${script}; cd ${folder}; ${program.join("; ")}`],
    { env: { ...process.env, HOME: folder } },
  );
  assert.is(code, 0, stderr);
  assert.is(stderr, "");
  const rows = (one: string) => one.split("\n").flatMap((row) => (row === "" ? [] : [row.split("\t")[0]!]));
  return stdout
    .split("=END\n")
    .slice(0, -1)
    .map((one) => rows(one).sort());
}

test.needing(
  works("fish", ["--version"]),
  "fish",
  "fish completes commands, options, values, files and the command of --exec",
  async () => {
    const lines: readonly (readonly [string, readonly string[]])[] = [
      ["se", ["send"]],
      ["completion ", ["bash", "fish", "zsh"]],
      ["send --op", ["--open"]],
      ["send --open read", ["read", "read-write"]],
      ["decode --abi=darwin-a", ["--abi=darwin-arm64"]],
      ["decode cont", ["control.bin"]],
      ["recv --qui", ["--quiet"]],
      ["recv --op", []],
      ["listen @x --exec sha256su", ["sha256sum"]],
      ["listen @x --exec sha256sum cont", ["control.bin"]],
      ["layout --abi ", Object.keys(abis).sort()],
    ];
    assert.equal(
      await offered(lines.map(([line]) => `unix-ancillary ${line}`)),
      lines.map(([, words]) => words),
    );
  },
);

/** Every command and option of the help. */
async function everything(): Promise<string[]> {
  const overview = (await cli(["--help"])).stdout;
  const commands = [...overview.matchAll(/^ {2}([a-z]+) {2,}\S/gm)].map(([, name]) => name!);
  const all = [...commands];
  for (const command of commands)
    for (const [, option] of (await cli([command, "--help"])).stdout.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm))
      all.push(option!);
  assert.ok(all.length > 60);
  return all;
}

test("every command and every option of the help is in each script and in the manual page", async () => {
  const names = new Set(await everything());
  for (const shell of ["bash", "zsh", "fish"]) {
    const { stdout } = await cli(["completion", shell]);
    for (const name of names) {
      const written = shell === "fish" ? name.replace(/^--/, "-l ") : name;
      assert.ok(stdout.includes(written), `${shell}: ${name}`);
    }
  }
  const { stdout } = await cli(["man"]);
  for (const name of names) assert.ok(stdout.includes(name.replace(/-/g, "\\-")), `man: ${name}`);
});

test("completion: an unknown shell, none, two", async () => {
  for (const args of [[], ["tcsh"], ["bash", "zsh"], ["constructor"]]) {
    const { code, stderr } = await cli(["completion", ...args]);
    assert.is(code, 2);
    assert.match(stderr, "expected one of bash, zsh, fish, got");
  }
});

test.needing(
  works("groff", ["--version"]),
  "groff",
  "the manual page is read without a warning, and shows what the help says",
  async () => {
    const page = join(folder, "unix-ancillary.1");
    writeFileSync(page, (await cli(["man"])).stdout);
    const { code, stdout, stderr } = await run("groff", ["-man", "-Tutf8", "-ww", "-rLL=1000n", "-P-cbou", page]);
    assert.is(code, 0);
    assert.is(stderr, "");
    for (const shown of [
      "--timeout SECONDS",
      "-q, --quiet",
      "echo 14000000 00000000 01000000 01000000 07000000 | unix-ancillary decode --abi linux-x86_64-glibc --hex",
      "@name\\0\\0 ends with two NULs",
      "invalid command line",
    ])
      assert.ok(stdout.includes(shown), `${shown}\n${stdout}`);
  },
);

test.run();
