// Checks of the codec for every JavaScript host: plain modules, no test framework, no module of Node, synchronous.

/** @param core the exports of unix-ancillary/core @returns the failures, and the number of checks */
export function run(core) {
  const { abis, Codec, inspect, AncillaryError } = core;
  const failures = [];
  let checks = 0;
  const same = (what, actual, expected) => {
    checks++;
    const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
    if (a !== b) failures.push(`${what}: expected ${b}, got ${a}`);
  };
  const throws = (what, action, kind) => {
    checks++;
    try {
      action();
      failures.push(`${what}: threw nothing`);
    } catch (error) {
      if (!(error instanceof kind)) failures.push(`${what}: ${error}`);
    }
  };
  const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

  same("rows", Object.keys(abis).length >= 43, true);
  const vectors = {
    "linux-x86_64-glibc": "140000000000000001000000010000000700000000000000",
    "linux-s390x-glibc": "000000000000001400000001000000010000000700000000",
    "darwin-arm64": "10000000ffff00000100000007000000",
    "freebsd-amd64": "14000000ffff000001000000000000000700000000000000",
    "netbsd-aarch64": "14000000ffff0000010000000000000007000000",
    "illumos-sparcv9": "000000100000ffff0000101000000007",
  };
  for (const [name, expected] of Object.entries(vectors)) {
    const codec = new Codec(name);
    same(name, hex(codec.encode([codec.rights([7])])), expected);
  }
  let state = 1;
  const random = (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (const abi of Object.values(abis)) {
    const codec = new Codec(abi);
    same(`${abi.name} len`, codec.len(0), abi.dataOffset);
    for (let i = 0; i < 100; i++) {
      const messages = Array.from({ length: random(5) }, () => ({
        level: random(4),
        type: random(4),
        data: Uint8Array.from({ length: random(50) }, () => random(256)),
      }));
      const encoded = codec.encode(messages);
      const decoded = codec.decode(encoded);
      same(
        `${abi.name} identity`,
        [decoded.malformed, decoded.messages.map(({ level, type, data }) => [level, type, [...data]])],
        [null, messages.map(({ level, type, data }) => [level, type, [...data]])],
      );
      const damaged = encoded.map((byte) => (random(8) === 0 ? random(256) : byte));
      const { keep, close } = codec.verdict({ control: damaged, flags: random(64), maxFds: random(8) });
      same(
        `${abi.name} total`,
        [Array.isArray(keep), Array.isArray(close), typeof inspect(abi, damaged)],
        [true, true, "string"],
      );
    }
    // Longer than the core's control area: decoded in windows.
    const part = new Codec({ ...abi, sendControlLength: "space" }).encode([codec.rights([3, 4, 5])]);
    const long = new Uint8Array(part.length * Math.ceil(150_000 / part.length));
    for (let at = 0; at < long.length; at += part.length) long.set(part, at);
    const { messages: many, malformed } = codec.decode(long);
    same(
      `${abi.name} long`,
      [many.length, malformed, many.every((message) => codec.fdsOf(message).join() === "3,4,5")],
      [long.length / part.length, null, true],
    );
    const fds = codec.encode([codec.rights([3, 4, 5])]);
    same(`${abi.name} verdict`, codec.verdict({ control: fds, flags: 0, maxFds: 2 }).keep, [3, 4]);
    same(
      `${abi.name} truncated`,
      codec.verdict({ control: fds, flags: abi.MSG_CTRUNC, maxFds: 2 }).outcome,
      "ancillary-truncated",
    );
  }
  const codec = new Codec("linux-x86_64-glibc");
  throws("too small", () => codec.encodeInto([codec.rights([1])], new Uint8Array(4)), AncillaryError);
  throws("range", () => codec.space(2 ** 31), RangeError);
  throws("type", () => codec.decode("bytes"), TypeError);
  return { checks, failures };
}
