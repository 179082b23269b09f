/** Programs with what the page shows. The tests of the site run each of them. */

import type { Abi, ControlMessage, DecodedControl, ReceiveVerdict, VerdictInput } from "unix-ancillary/core";
import { levelName, typeName } from "./words.ts";

/** Bytes as the elements of an array of JavaScript or C. */
function elements(bytes: Uint8Array, indent: string): string {
  const lines: string[] = [];
  for (let i = 0; i < bytes.length; i += 16)
    lines.push(
      indent + Array.from(bytes.subarray(i, i + 16), (byte) => `0x${byte.toString(16).padStart(2, "0")}`).join(", "),
    );
  return lines.join(",\n");
}

/** A value as JavaScript writes it. */
export function literal(value: unknown): string {
  if (typeof value === "bigint") return `${value}n`;
  if (value instanceof Uint8Array) return `Uint8Array.of(${Array.from(value).join(", ")})`;
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return `{ ${Object.entries(value)
    .filter(([, one]) => one !== undefined)
    .map(([name, one]) => `${name}: ${literal(one)}`)
    .join(", ")} }`;
}

export interface Read {
  readonly abi: Abi;
  readonly input: VerdictInput;
  readonly decoded: DecodedControl;
  readonly payloads: readonly unknown[];
  readonly verdict: ReceiveVerdict;
}

const control = (bytes: Uint8Array): string =>
  bytes.length === 0 ? "new Uint8Array(0)" : `Uint8Array.of(\n${elements(bytes, "  ")},\n)`;

const inputLiteral = ({ flags, maxFds, exactly, allowTruncated }: VerdictInput): string =>
  `{ control, flags: 0x${(flags >>> 0).toString(16)}, maxFds: ${maxFds}${exactly === undefined ? "" : `, exactly: ${exactly}`}${allowTruncated === true ? ", allowTruncated: true" : ""} }`;

export const readAsJavaScript = ({ abi, input }: Read): string => `import { Codec, inspect } from "unix-ancillary/core";

const codec = new Codec("${abi.name}");
const control = ${control(input.control)};

console.log(inspect("${abi.name}", control));
console.log(codec.verdict(${inputLiteral(input)}));
`;

export const readAsTest = ({
  abi,
  input,
  decoded,
  payloads,
  verdict,
}: Read): string => `import assert from "node:assert/strict";
import { test } from "node:test";
import { Codec } from "unix-ancillary/core";

test("a control buffer of ${abi.name}", () => {
  const codec = new Codec("${abi.name}");
  const control = ${control(input.control).replaceAll("\n", "\n  ")};

  const { messages, malformed } = codec.decode(control, { flags: 0x${(input.flags >>> 0).toString(16)} });
  assert.deepEqual(messages.map((message) => codec.payloadOf(message)), [${payloads.map((payload) => `\n    ${literal(payload)},`).join("")}${payloads.length > 0 ? "\n  " : ""}]);
  assert.deepEqual(malformed, ${literal(decoded.malformed)});
  assert.deepEqual(codec.verdict(${inputLiteral(input)}), ${literal(verdict)});
});
`;

const C_HEADERS = `#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
`;

export const readAsC = ({
  abi,
  input: { control: bytes },
}: Read): string => `/* A control buffer of ${abi.name}, walked as a program there does. */
${C_HEADERS}
int main(void) {
  union {
    struct cmsghdr align;
    unsigned char bytes[${Math.max(bytes.length, 1)}];
  } control = { .bytes = {
${elements(bytes.length === 0 ? Uint8Array.of(0) : bytes, "    ")} } };
  struct msghdr message = { .msg_control = control.bytes, .msg_controllen = ${bytes.length} };
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
    size_t left = ${bytes.length} - (size_t)((unsigned char *)c - control.bytes);
    if (c->cmsg_len < CMSG_LEN(0) || c->cmsg_len > left) {
      puts("malformed");
      return 1;
    }
    printf("cmsg_len %zu, cmsg_level %d, cmsg_type %d\\n", (size_t)c->cmsg_len, c->cmsg_level, c->cmsg_type);
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      printf("  descriptor %d\\n", fd);
    }
  }
  return 0;
}
`;

/** What was built: for each system the bytes, and the messages that its codec made of the form. */
export interface Built {
  readonly abi: Abi;
  readonly control: Uint8Array;
  readonly messages: readonly ControlMessage[];
  /** The messages as calls of the codec, as the form has them. */
  readonly calls: readonly string[];
}

export const buildAsJavaScript = ({
  abi,
  calls,
}: Built): string => `import { Codec, inspect } from "unix-ancillary/core";

const codec = new Codec("${abi.name}");
const control = codec.encode([${calls.map((call) => `\n  ${call},`).join("")}
]);
console.log(inspect("${abi.name}", control));
`;

export function buildAsTest(all: readonly Built[]): string {
  const rows = all.map(
    ({ abi, control: bytes, calls }) => `
test("the control buffer for ${abi.name}", () => {
  const codec = new Codec("${abi.name}");
  const control = codec.encode([${calls.map((call) => `\n    ${call},`).join("")}
  ]);
  assert.deepEqual(control, ${control(bytes).replaceAll("\n", "\n  ")});
});
`,
  );
  return `import assert from "node:assert/strict";
import { test } from "node:test";
import { Codec } from "unix-ancillary/core";
${rows.join("")}`;
}

/** A number with its name beside it: not every libc's headers have the name. */
const inC = (name: string, number: number): string => (name === String(number) ? name : `${number} /* ${name} */`);

export function buildAsC({ abi, messages }: Built): string {
  const { sendControlLength } = abi;
  const space = messages.map(({ data }) => `CMSG_SPACE(${data.length})`);
  const length = messages.map(({ data }, i) =>
    sendControlLength === "len" && i === messages.length - 1
      ? `CMSG_LEN(${data.length})`
      : `CMSG_SPACE(${data.length})`,
  );
  const sum = (terms: readonly string[]) => terms.join(" + ") || "0";
  const blocks = messages.map(({ level, type, data }, i) => {
    const rights = level === abi.SOL_SOCKET && type === abi.SCM_RIGHTS && data.length % 4 === 0;
    const little = abi.endian === "little";
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const ints = Array.from({ length: data.length >> 2 }, (_, j) => view.getInt32(4 * j, little));
    const payload = rights
      ? `const int fds[] = { ${ints.join(", ")} };`
      : `const unsigned char payload[] = {\n${elements(data, "      ")} };`;
    return `${i === 0 ? "  struct cmsghdr *c = CMSG_FIRSTHDR(&message);" : "  c = CMSG_NXTHDR(&message, c);"}
  c->cmsg_len = CMSG_LEN(${data.length});
  c->cmsg_level = ${levelName(abi, level)};
  c->cmsg_type = ${rights ? "SCM_RIGHTS" : inC(typeName(abi, level, type), type)};
${
  data.length === 0
    ? ""
    : `  {
    ${payload}
    memcpy(CMSG_DATA(c), ${rights ? "fds, sizeof fds" : "payload, sizeof payload"});
  }
`
}`;
  });
  return `/* For ${abi.name}. */
${C_HEADERS}
int main(void) {
  union {
    struct cmsghdr align;
    unsigned char bytes[${messages.length === 0 ? "1" : sum(space)}];
  } control;
  memset(&control, 0, sizeof control);
  struct msghdr message = { .msg_control = control.bytes, .msg_controllen = ${sum(space)} };
${blocks.join("\n")}
  message.msg_controllen = ${sum(length)};
  /* sendmsg(socket, &message, 0); here: the bytes. */
  for (size_t i = 0; i < message.msg_controllen; i++) printf("%02x", control.bytes[i]);
  putchar('\\n');
  return 0;
}
`;
}

/** The names of programs. */
export type Language = "JavaScript" | "C" | "test" | "text";
export type Programs = Readonly<Record<Language, string>>;
