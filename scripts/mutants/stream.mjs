// Faults in src/stream/, src/usocket/ and src/handoff/. The fields are described in index.mjs.

const intake = "src/stream/intake.ts";
const duplex = "src/stream/fd-duplex.ts";
const usocket = "src/usocket/socket.ts";
const server = "src/usocket/server.ts";
const handOff = "src/handoff/hand-off.ts";
const HAND_OFF_TEST = "handoff/hand-off";
const STREAM_TEST = "stream/fd-duplex";
const USOCKET_TEST = "usocket/usocket";

export const STREAM = [
  {
    name: "nothing is held back while many descriptors wait",
    file: intake,
    within: "Intake.fill",
    find: "this.reader.queuedFds >= _",
    replacement: "false",
    tests: [`${STREAM_TEST}: slow consumer`, `${USOCKET_TEST}: takes its time`],
  },
  {
    name: "a consumer that needs more bytes waits for ever",
    file: intake,
    within: "Intake.asked",
    find: "if (inVain) _; else _;",
    replacement: "this.fill();",
    tests: [`${STREAM_TEST}: needs more bytes`],
  },
  {
    name: "the end is not noticed if nobody reads",
    file: intake,
    within: "Intake.#deliver",
    find: "if (data === null) this.#into.read(0);",
    tests: [`${STREAM_TEST}: half-open`],
  },
  {
    name: "descriptors are reported after the stream was destroyed",
    file: intake,
    within: "Intake.#deliver",
    find: "if (this.#into.destroyed) return;",
    tests: [`${STREAM_TEST}: destroyed while`],
  },
  {
    name: "descriptors of later chunks go with the first byte of the run",
    file: duplex,
    within: "FdDuplex.#sendRuns",
    find: "if (run.length > 0 && this.#beside.has(chunk)) { _; _; }",
    tests: [`${STREAM_TEST}: place of the bytes`],
  },
  {
    name: "a number of descriptors that is none is noticed when the bytes are gone",
    file: usocket,
    within: "USocket.read",
    find: 'if (count !== null) integer("count", count, 0, _);',
    tests: [`${USOCKET_TEST}: refused before anything is read`],
  },
  {
    name: "a list that is put back keeps the numbers before one that is none",
    file: usocket,
    within: "USocket.unshift",
    find: "for (; fds.length > 0; fds.pop()) { _; _; _; }",
    replacement: "for (const fd of fds.splice(0)) this.#returned.push(OwnedFd.fromRaw(fd));",
    tests: [`${USOCKET_TEST}: put back with a number`],
  },
  {
    name: "descriptors that are put back into a destroyed socket stay open",
    file: usocket,
    within: "USocket.unshift",
    find: "if (this.destroyed) break;",
    tests: [`${USOCKET_TEST}: after destroy`],
  },
  {
    name: "a destroyed socket gives bytes without the descriptors that came with them",
    file: usocket,
    within: "USocket.read",
    find: "intake === null || this.destroyed",
    replacement: "intake === null",
    tests: [`${USOCKET_TEST}: after destroy`],
  },
  {
    name: "a server that a listener pauses takes a connection ahead",
    file: server,
    within: "UServer.#accept",
    find: "try { _; } finally { _; }",
    replacement: 'this.#accept(); this.emit("connection", accepted(stream));',
    tests: [`${USOCKET_TEST}: takes no connection ahead`],
  },
  {
    name: "a server emits a connection that it had accepted when it was paused",
    file: server,
    within: "UServer.#accept",
    find: "if (this.paused) _; else _;",
    replacement: 'try { this.emit("connection", accepted(stream)); } finally { this.#accept(); }',
    tests: [`${USOCKET_TEST}: listener pauses`],
  },
  {
    name: "a connection that a paused server has accepted is not closed with it",
    file: server,
    within: "UServer.close",
    find: "if (held !== null) drop(held);",
    tests: [`${USOCKET_TEST}: listener pauses`],
  },
  {
    name: "a write that a getter has destroyed the socket in is never answered",
    file: usocket,
    within: "USocket.#withStream",
    find: "if (this.destroyed) _; else _;",
    replacement:
      "if (this.#intake !== null) run(this.#stream); else if (this.#connecting !== null) this.#waiting = { run, fail };",
    tests: ["callers-code: USocket#write"],
  },
  {
    name: "descriptors that were put back stay open",
    file: usocket,
    within: "USocket._destroy",
    find: "[this.#stream, ...this.#returned.splice(0)]",
    replacement: "[this.#stream]",
    tests: [`${USOCKET_TEST}: put back`],
  },
  {
    name: "a USocket that is destroyed leaves its socket open",
    file: usocket,
    within: "USocket._destroy",
    find: "[this.#stream, ...this.#returned.splice(0)]",
    replacement: "this.#returned.splice(0)",
    tests: [USOCKET_TEST],
    explorerSays: /leaked descriptor/,
  },
  {
    name: "destroy by the program emits close",
    file: usocket,
    within: "USocket._destroy",
    find: "failure !== null || (this.readableEnded && this.writableFinished)",
    replacement: "true",
    tests: [`${USOCKET_TEST}: destroy is silent`],
  },
  {
    name: "bytes that Node has read do not go along with the connection",
    file: "src/handoff/connection.ts",
    within: "detach",
    find: "unread === null ? head : Buffer.concat([head, unread])",
    replacement: "head",
    tests: [`${HAND_OFF_TEST}: what was read goes along`],
  },
  {
    name: "a connection whose destroy throws stays open",
    file: "src/handoff/connection.ts",
    within: "detach",
    find: "fd?.close();",
    tests: ["callers-code: handOff"],
  },
  {
    name: "bytes of the caller's are read after code of the caller's has changed them",
    file: handOff,
    within: "copied",
    find: "Buffer.from(plainView(head))",
    replacement: "plainView(head)",
    tests: ["callers-code: handOff"],
  },
  {
    name: "connections that a dead worker has not taken are not given back",
    file: handOff,
    within: "Sender.#receive",
    find: "for (const one of this.#sent.splice(0).flat()) _;",
    tests: [`${HAND_OFF_TEST}: dies before`],
  },
  {
    name: "a connection is served that is not acknowledged, and was taken back",
    file: handOff,
    within: "takeConnections",
    find: 'await channel.send("");',
    tests: [`${HAND_OFF_TEST}: does not get it twice`],
  },
  {
    name: "a connection that was handed off stays open in the front",
    file: handOff,
    within: "Sender.#receive",
    find: "fd.close();",
    tests: [`${HAND_OFF_TEST}: keep-alive`],
  },
];
