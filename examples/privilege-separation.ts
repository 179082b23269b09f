/**
 * Privilege separation: a root process opens files for a process that may open none of them.
 *
 * `node build/examples/privilege-separation.js`, as root. The helper (root) answers askers that name a file, and never a
 * path: it looks the name up in its policy, checks who asks, and sends the descriptor, open for reading. Askers come through
 * two doors, and each door has its own way to tell who they are:
 *
 * - a socket pair, one end inherited as descriptor 3. `peerCredentials()` of a pair names whoever made the pair, here the
 *   helper itself, so each message has to bring the sender's credentials (`setPassCredentials`).
 * - a listener at a path. `peerCredentials()` of what it accepts names the process that connected.
 *
 * The user `nobody` has to be able to read the folder that this program is in.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { chmodSync, constants, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Credentials, OwnedFd, UnixListener, UnixStream } from "unix-ancillary";

const NOBODY = 65534;
const STRANGER = 65533;

/** Written at once: several processes share this terminal. */
const say = (what: string): unknown =>
  writeSync(1, `${process.argv[2] ?? "helper"} (uid ${process.getuid!()}): ${what}\n`);
const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
/** The code of what a function throws. */
const codeOf = (action: () => unknown): string | undefined => {
  try {
    action();
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
  return undefined;
};

/** What may be asked for: the name, the file, and the one user that gets it. */
type Policy = ReadonlyMap<string, { readonly path: string; readonly uid: number }>;

/** Answers the messages of one asker until it leaves. Null credentials are nobody's: refused. */
async function serve(stream: UnixStream, policy: Policy, asker?: Credentials): Promise<void> {
  // At most 0 descriptors: an asker has none to send, and one that does finds them closed.
  for await (const message of stream.messages(0)) {
    const name = message.data.toString();
    const who = asker ?? message.credentials;
    const entry = policy.get(name);
    if (entry === undefined || who === null || who.uid !== entry.uid) {
      say(`refused ${JSON.stringify(name)} to uid ${who?.uid}, pid ${who?.pid}`);
      await stream.sendFds("refused");
      continue;
    }
    // O_NOFOLLOW: whoever can write to the folder could otherwise choose which file root opens.
    const file = OwnedFd.fromRaw(openSync(entry.path, constants.O_RDONLY | constants.O_NOFOLLOW));
    await stream.sendFds("granted", [file]).finally(() => file.close());
    say(`sent ${JSON.stringify(name)} to uid ${who.uid}, pid ${who.pid}`);
  }
}

/** Asks for a file by its name; null: refused. */
async function ask(stream: UnixStream, name: string): Promise<OwnedFd | null> {
  await stream.sendFds(name);
  const answer = await stream.recvFds(1);
  assert.equal(answer.data.toString(), answer.fds.length === 1 ? "granted" : "refused");
  return answer.fds[0] ?? null;
}

async function helper(): Promise<void> {
  if (process.getuid!() !== 0) {
    console.log("SKIPPED: privilege-separation: only root has a privilege to separate; run it as root");
    process.exit(process.env.CI === undefined ? 77 : 1);
  }
  const folder = mkdtempSync(join(tmpdir(), "unix-ancillary-privilege-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  // It is the mode of the files that stops the others, not the folder.
  chmodSync(folder, 0o755);
  const [secret, key, door] = ["secret", "key", "door"].map((name) => join(folder, name)) as [string, string, string];
  const content = randomBytes(64);
  writeFileSync(secret, content, { mode: 0o600 });
  writeFileSync(key, "of no use to anybody", { mode: 0o600 });
  const policy: Policy = new Map([
    ["secret", { path: secret, uid: NOBODY }],
    ["key", { path: key, uid: 0 }],
  ]);

  // The door with a path: anybody may knock.
  const listener = UnixListener.bind(door, { mode: 0o666 });
  let rude = 0;
  const visits: Promise<void>[] = [];
  const doorkeeper = (async () => {
    for await (const stream of listener) {
      // An asker that leaves without its answer (EPIPE, ECONNRESET) is no reason for the helper to end.
      const served = serve(stream, policy, stream.peerCredentials()).catch(() => rude++);
      visits.push(served.then(() => stream.close()));
    }
  })();
  // The door by inheritance, once for each child.
  const start = async (role: string, uid: number): Promise<void> => {
    const [ours, theirs] = UnixStream.pair();
    assert.equal(ours.peerCredentials().pid, process.pid, "a pair names its maker");
    ours.setPassCredentials(true);
    const child = spawn(process.execPath, [fileURLToPath(import.meta.url), role, secret, door, digest(content)], {
      uid,
      gid: uid,
      stdio: ["ignore", "inherit", "inherit", theirs.fd],
    });
    theirs.close();
    const exit = new Promise<number | null>((resolve) => child.once("close", resolve));
    await serve(ours, policy).finally(() => ours.close());
    assert.equal(await exit, 0, `the ${role} failed; can uid ${uid} read this program?`);
  };
  await start("nobody", NOBODY);
  await start("stranger", STRANGER);
  listener.close();
  await doorkeeper;
  await Promise.all(visits);
  assert.equal(rude, 1);
  console.log("held: the file was read by nobody, who may not open it, and by no other asker");
}

/** The second process: as the kernel made it, without a privilege that it could drop too late. */
async function asker(allowed: boolean): Promise<void> {
  const [, , , secret, door, expected] = process.argv as string[];
  const uid = allowed ? NOBODY : STRANGER;
  assert.deepEqual([process.getuid!(), process.getgid!(), process.getgroups!()], [uid, uid, [uid]]);
  assert.equal(
    codeOf(() => openSync(secret!, "r")),
    "EACCES",
  );
  say("opening the file myself: EACCES");

  const inherited = UnixStream.from(OwnedFd.fromRaw(3));
  const connected = await UnixStream.connect(door!);
  for (const stream of [inherited, connected]) {
    // Not in the policy: somebody else's file, a path, nothing at all.
    for (const name of ["key", secret!, "../secret", "nothing"]) assert.equal(await ask(stream, name), null);
    const file = await ask(stream, "secret");
    assert.equal(file !== null, allowed);
    if (file === null) continue;
    assert.deepEqual(file.describe(), { kind: "file", access: "read", nonblocking: false, size: 64 });
    assert.equal(digest(readFileSync(file.fd)), expected);
    assert.equal(
      codeOf(() => writeSync(file.fd, "x")),
      "EBADF",
    );
    file.close();
    say("read the file through the descriptor that came; writing to it: EBADF");
  }
  // The stranger leaves with a question still open, which the helper has to survive.
  if (!allowed) await connected.sendFds("secret");
  connected.close();
  inherited.close();
}

const role = process.argv[2];
await (role === undefined ? helper() : asker(role === "nobody"));
