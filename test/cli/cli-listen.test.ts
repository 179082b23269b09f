/** `listen`: many senders, some of which fail. */

import { existsSync } from "node:fs";
import { UnixStream } from "unix-ancillary";
import * as assert from "uvu/assert";
import { fileWith, leakChecked, socketPath } from "../support.ts";
import { cli, exec, lines, start } from "./cli-support.ts";

const test = leakChecked("cli listen");

test("listen: a sender that hangs does not delay the others", async () => {
  const path = socketPath();
  const listening = start(["listen", path, "--json"]);
  await listening.said("listening");
  const hanging = UnixStream.connectSync(path);
  const file = fileWith("hello");
  await Promise.all([1, 2, 3].map((n) => cli(["send", path, file, "--data", `sender ${n}`])));
  for (const n of [1, 2, 3]) await listening.said(`sender ${n}`);
  listening.child.kill("SIGTERM");
  const { signal, stdout } = await listening.ended;
  hanging.close();
  assert.is(signal, "SIGTERM");
  assert.not(existsSync(path));
  const messages = lines(stdout).filter(({ event }) => event === "message");
  assert.equal(messages.map(({ data }) => data).sort(), ["sender 1", "sender 2", "sender 3"]);
  assert.is(new Set(messages.map(({ number }) => number)).size, 3);
});

test("listen: the error of a sender is reported, the next one is served", async () => {
  const path = socketPath();
  const listening = start(["listen", path, "--count", "1", "--timeout", "0.3"]);
  await listening.said("listening");
  const hanging = UnixStream.connectSync(path);
  await listening.said("the sender did not finish within 0.3 s");
  hanging.close();
  await cli(["send", path, "--data", "none"]);
  await listening.said("expected 1 descriptor, got 0");
  await cli(["send", path, "/", "--data", "good"]);
  await listening.said('data "good"');
  listening.child.kill("SIGINT");
  assert.is((await listening.ended).signal, "SIGINT");
});

test("listen: a command for each connection, and for each datagram", async () => {
  for (const type of [[], ["--datagram"]]) {
    const path = socketPath();
    const script = 'echo "[$LISTEN_FDS $UNIX_ANCILLARY_DATA $(cat <&3)] $$ $LISTEN_PID"; exit 3';
    const listening = start(["listen", path, ...type, ...exec(script)]);
    await listening.said("listening");
    for (const word of ["one", "two"]) await cli(["send", ...type, path, fileWith(word), "--data", `data-${word}`]);
    await listening.said("[1 data-one one]");
    await listening.said("[1 data-two two]");
    await listening.said("#2: the command ended with 3");
    listening.child.kill("SIGTERM");
    const { stdout } = await listening.ended;
    for (const [, pid, said] of stdout.matchAll(/\] (\d+) (\d+)/g)) assert.is(pid, said);
  }
});

test("listen: it ends when its output has no reader", async () => {
  const path = socketPath();
  const listening = start(["listen", path]);
  await listening.said("listening");
  listening.child.stdout!.destroy();
  await cli(["send", path, "/"]);
  const { code } = await listening.ended;
  assert.is(code, 141);
  assert.not(existsSync(path));
});

test("listen: it ends when the error of a sender is the first line that has no reader", async () => {
  const path = socketPath();
  const listening = start(["listen", path, "--json", "--timeout", "0.2"]);
  await listening.said("listening");
  listening.child.stdout!.destroy();
  const hanging = UnixStream.connectSync(path);
  const { code, stderr } = await listening.ended;
  hanging.close();
  assert.is(code, 141, stderr);
  assert.is(stderr, "");
  assert.not(existsSync(path));
});

test.run();
