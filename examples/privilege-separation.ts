/**
 * Privilege separation: a root process opens files for a process that may open none of them.
 *
 * `node build/examples/privilege-separation.js`, as root. A client asks the helper (root) for a file by name, never by path. The
 * helper looks the name up in its policy, checks the client's uid, and sends a descriptor open for reading. Clients connect in
 * two ways, which need two ways to identify them:
 *
 * - By a socket pair, one end of which is inherited as descriptor 3. `peerCredentials()` of a pair names the process that created
 *   it, here the helper itself, so each message must carry the sender's credentials (`setPassCredentials`).
 * - By a listener at a path. `peerCredentials()` of an accepted socket names the process that connected.
 *
 * The user `nobody` must be able to read the folder of this program.
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

/** Prints a line in one write: several processes share this terminal. */
function say(what: string): void {
  try {
    writeSync(1, `${process.argv[2] ?? "helper"} (uid ${process.getuid!()}): ${what}\n`);
  } catch (error) {
    // The reader of a pipe may stop early.
    if ((error as { code?: string }).code !== "EPIPE") throw error;
  }
}
const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
/** The code of the error that a function throws. */
const codeOf = (action: () => unknown): string | undefined => {
  try {
    action();
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
  return undefined;
};

/** For each name: the file, and the one user that may have it. */
type Policy = ReadonlyMap<string, { readonly path: string; readonly uid: number }>;

/** Answers the messages of one client until it disconnects. Messages without credentials are refused. */
async function serve(stream: UnixStream, policy: Policy, connected?: Credentials): Promise<void> {
  // At most 0 descriptors: clients have none to send. If one is sent, it is closed.
  for await (const message of stream.messages(0)) {
    const name = message.data.toString();
    const client = connected ?? message.credentials;
    const entry = policy.get(name);
    if (entry === undefined || client === null || client.uid !== entry.uid) {
      say(`refused ${JSON.stringify(name)} to uid ${client?.uid}, pid ${client?.pid}`);
      await stream.sendFds("refused");
      continue;
    }
    // O_NOFOLLOW: a user who can write to the folder could otherwise choose which file root opens.
    const file = OwnedFd.fromRaw(openSync(entry.path, constants.O_RDONLY | constants.O_NOFOLLOW));
    await stream.sendFds("granted", [file]).finally(() => file.close());
    say(`sent ${JSON.stringify(name)} to uid ${client.uid}, pid ${client.pid}`);
  }
}

/** Asks for a file by name; null if the helper refuses. */
async function ask(stream: UnixStream, name: string): Promise<OwnedFd | null> {
  await stream.sendFds(name);
  const answer = await stream.recvFds(1);
  assert.equal(answer.data.toString(), answer.fds.length === 1 ? "granted" : "refused");
  return answer.fds[0] ?? null;
}

async function helper(): Promise<void> {
  if (process.getuid!() !== 0) {
    console.log("SKIPPED: privilege-separation: needs root; run it as root");
    process.exit(process.env.CI === undefined ? 77 : 1);
  }
  const folder = mkdtempSync(join(tmpdir(), "unix-ancillary-privilege-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  // The modes of the files, not of the folder, keep other users out.
  chmodSync(folder, 0o755);
  const [secret, key, socketPath] = ["secret", "key", "socket"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const content = randomBytes(64);
  writeFileSync(secret, content, { mode: 0o600 });
  writeFileSync(key, "a key for root", { mode: 0o600 });
  const policy: Policy = new Map([
    ["secret", { path: secret, uid: NOBODY }],
    ["key", { path: key, uid: 0 }],
  ]);

  // Every user may connect to the path.
  const listener = UnixListener.bind(socketPath, { mode: 0o666 });
  let disconnected = 0;
  const connections: Promise<void>[] = [];
  const accepting = (async () => {
    for await (const stream of listener) {
      // A client that disconnects before its answer (EPIPE, ECONNRESET) must not end the helper.
      const served = serve(stream, policy, stream.peerCredentials()).catch(() => disconnected++);
      connections.push(served.then(() => stream.close()));
    }
  })();
  // A socket pair for each child, inherited by it.
  const start = async (role: string, uid: number): Promise<void> => {
    const [ours, theirs] = UnixStream.pair();
    assert.equal(ours.peerCredentials().pid, process.pid, "a pair names the process that created it");
    ours.setPassCredentials(true);
    const child = spawn(process.execPath, [fileURLToPath(import.meta.url), role, secret, socketPath, digest(content)], {
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
  await accepting;
  await Promise.all(connections);
  assert.equal(disconnected, 1);
  console.log("held: the user nobody, which may not open the file, has read it; no other client has");
}

/** A client process. It starts as an unprivileged user, so it has no privileges to drop. */
async function client(allowed: boolean): Promise<void> {
  const [, , , secret, socketPath, expected] = process.argv as string[];
  const uid = allowed ? NOBODY : STRANGER;
  assert.deepEqual([process.getuid!(), process.getgid!(), process.getgroups!()], [uid, uid, [uid]]);
  assert.equal(
    codeOf(() => openSync(secret!, "r")),
    "EACCES",
  );
  say("opening the file myself: EACCES");

  const inherited = UnixStream.from(OwnedFd.fromRaw(3));
  const connected = await UnixStream.connect(socketPath!);
  for (const stream of [inherited, connected]) {
    // Refused: another user's file, a path, a name that does not exist.
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
    say("read the file through the received descriptor; writing to it: EBADF");
  }
  // The stranger disconnects without waiting for the answer, which must not end the helper.
  if (!allowed) await connected.sendFds("secret");
  connected.close();
  inherited.close();
}

const role = process.argv[2];
await (role === undefined ? helper() : client(role === "nobody"));
