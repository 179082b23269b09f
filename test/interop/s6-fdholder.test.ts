/** Descriptors stored in s6-fdholder-daemon, and in this test by the programs of s6. */

import { mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { OwnedFd, UnixListener, type UnixStream } from "unix-ancillary";
import * as assert from "uvu/assert";
import { codeOf, errorOf, fileWith, socketPath, temporaryFolder } from "../support.ts";
import { interop, Program } from "./programs.ts";
import { FdHolder, hold } from "./s6-fdholder.ts";

const test = interop("s6-fdholder");
const needs = [{ debian: "s6", probe: ["sh", "-c", "command -v s6-fdholder-daemon s6-fdholder-retrieve"] }] as const;

/** As many as fit into one message. With more, s6 2.11 tries to send 255 at once, which Linux refuses, and closes the connection. */
const MANY = 253;

/** A daemon that allows its own user everything; it prints a line when it is ready. */
async function daemon(path: string): Promise<Program> {
  const rules = join(temporaryFolder(), "rules");
  const mine = join(rules, "uid", String(process.getuid!()));
  mkdirSync(join(mine, "env"), { recursive: true });
  writeFileSync(join(mine, "allow"), "");
  const may = { STORE_REGEX: ".*", RETRIEVE_REGEX: ".*", LIST: "1", GETDUMP: "1" };
  for (const [name, value] of Object.entries(may)) writeFileSync(join(mine, "env", `S6_FDHOLDER_${name}`), value);
  const program = new Program("s6-fdholder-daemon", ["-1", "-n", "1000", "-i", rules, path]);
  await program.line();
  return program;
}

/** Runs a program of s6 to its end; returns its output. */
async function s6(name: string, args: readonly string[], fds: readonly OwnedFd[] = []): Promise<string> {
  await using program = new Program(`s6-fdholder-${name}`, args, { fds });
  return await program.success();
}

const open = (content: string): OwnedFd => OwnedFd.fromRaw(openSync(fileWith(content), "r"));

test("client: s6-fdholder-daemon stores our descriptors for s6's programs, and theirs for us", needs, async () => {
  const path = socketPath();
  await using _ = await daemon(path);
  {
    using holder = await FdHolder.connect(path);
    using file = open("ours");
    await holder.store("ours", file);
    assert.is(await codeOf(holder.store("ours", file)), "EBUSY");
  }
  // The program that stored it has ended.
  assert.is(await s6("list", [path]), "ours\n");
  assert.is(await s6("retrieve", [path, "ours", "cat"]), "ours");
  {
    using file = open("theirs");
    await s6("store", ["-d", "3", path, "theirs"], [file]);
  }
  using holder = await FdHolder.connect(path);
  assert.equal((await holder.list()).sort(), ["ours", "theirs"]);
  using theirs = await holder.retrieve("theirs", true);
  assert.is(readFileSync(theirs.fd, "utf8"), "theirs");
  assert.is(await codeOf(holder.retrieve("theirs")), "ENOENT");
  assert.equal(await holder.list(), ["ours"]);
  return "stored, listed, retrieved and forgotten, both ways";
});

test("dump: all stored descriptors, as many as one message can carry", needs, async () => {
  const path = socketPath();
  await using _ = await daemon(path);
  using holder = await FdHolder.connect(path);
  for (let i = 0; i < MANY; i++) {
    using file = open(`content ${i}`);
    await holder.store(`file-${i}`, file);
  }
  const { frames, held } = await holder.dump();
  assert.is(held.size, MANY);
  for (const [id, fd] of held) {
    assert.is(readFileSync(fd.fd, "utf8"), id.replace("file-", "content "));
    fd.close();
  }
  return `${MANY} descriptors came in ${frames} frame, each under its name`;
});

test("holder: s6's programs store with us, list and retrieve", needs, async () => {
  await using listener = UnixListener.bind(socketPath());
  const path = listener.address!;
  const held = new Map<string, OwnedFd>();
  const stop = new AbortController();
  const serving = (async () => {
    for (;;) {
      using socket = (await listener.accept({ signal: stop.signal })) as UnixStream;
      await hold(socket, held);
    }
  })();
  // Checked at the end.
  serving.catch(() => {});
  try {
    for (const content of ["one", "two"]) {
      using file = open(content);
      await s6("store", ["-d", "3", path, content], [file]);
    }
    assert.is(await s6("list", [path]), "one\ntwo\n");
    assert.is(await s6("retrieve", [path, "two", "cat"]), "two");
    assert.is(await s6("retrieve", ["-D", path, "one", "cat"]), "one");
    await s6("delete", [path, "two"]);
    assert.is(await s6("list", [path]), "");
    assert.is(held.size, 0);
    stop.abort();
    assert.is((await errorOf(serving)).name, "AbortError");
    return "stored, listed, retrieved and deleted";
  } finally {
    for (const fd of held.values()) fd.close();
  }
});

test.run();
