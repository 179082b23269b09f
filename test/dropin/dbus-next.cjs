// 2,000 descriptors to a service and 2,000 back, through dbus-next and the message bus of this session, 200 calls at a time, each
// between calls without descriptors. Every descriptor must be the one that was sent with the message, and none may stay open.
// Run by scripts/dropin.mjs in a project where usocket is the alias.

const assert = require("node:assert/strict");
const {
  closeSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");
const dbus = require("dbus-next");

const COUNT = 2000;
const AT_ONCE = 200;
const { USocket } = require("unix-ancillary/usocket");
const folder = mkdtempSync(join(tmpdir(), "dropin-"));
const openFds = () => readdirSync("/proc/self/fd").length;

/** A descriptor of a file of its own, and its inode. */
function open(name) {
  const path = join(folder, name);
  writeFileSync(path, "");
  const fd = openSync(path, "r");
  unlinkSync(path);
  return { fd, ino: fstatSync(fd).ino };
}

function close(fd) {
  const { ino } = fstatSync(fd);
  closeSync(fd);
  return ino;
}

const connected = (bus) => new Promise((resolve) => bus.once("connect", resolve));

async function main() {
  const [client, service] = [1, 2].map(() => dbus.sessionBus({ negotiateUnixFd: true }));
  await Promise.all([connected(client), connected(service)]);
  for (const { _connection } of [client, service]) {
    assert.ok(_connection.stream instanceof USocket, "dbus-next uses another usocket");
    assert.ok(_connection.stream.supportsUnixFd);
  }
  const call = (member, signature, body) => {
    const at = { destination: service.name, path: "/a", interface: "a.b", member };
    return client.call(new dbus.Message({ ...at, signature, body }));
  };

  let received = 0;
  const answers = new Map();
  service.addMethodHandler((message) => {
    if (message.interface !== "a.b") return false;
    const [number, fd] = message.body;
    if (message.member === "Plain") {
      service.send(dbus.Message.newMethodReturn(message, "u", [number]));
      return true;
    }
    const got = close(fd);
    received++;
    const answer = open(`answer-${number}`);
    service.send(dbus.Message.newMethodReturn(message, "uth", [number, BigInt(got), answer.fd]));
    answers.set(number, answer);
    return true;
  });

  await call("Plain", "u", [0]);
  const before = openFds();
  let returned = 0;
  const exchange = async (number) => {
    const sent = open(`sent-${number}`);
    const [plain, { body }] = await Promise.all([call("Plain", "u", [number]), call("Take", "uh", [number, sent.fd])]);
    closeSync(sent.fd);
    assert.deepEqual(plain.body, [number]);
    assert.equal(Number(body[1]), sent.ino, `the service got another file with call ${number}`);
    const answer = answers.get(number);
    assert.equal(close(body[2]), answer.ino, `another file came back from call ${number}`);
    closeSync(answer.fd);
    returned++;
  };
  for (let first = 0; first < COUNT; first += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => exchange(first + i)));
  }
  assert.equal(openFds(), before, "descriptors stayed open");
  console.log(
    `${COUNT} descriptors sent, ${received} received; ${COUNT} sent back, ${returned} received; none stayed open`,
  );
  assert.equal(received, COUNT);
  for (const bus of [client, service]) bus.disconnect();
}

main().then(
  () => rmSync(folder, { recursive: true }),
  (error) => {
    rmSync(folder, { recursive: true });
    console.error(error);
    process.exit(1);
  },
);
