/** `decode`, `layout`, `abis`: control messages as text and as pictures. They need no addon. */

import { readFileSync } from "node:fs";
import { endianness } from "node:os";
import { type Abi, type AbiName, Codec, hostAbiName, inspect, abis as table } from "../core/index.ts";
import { typeName } from "../core/inspect.ts";
import { isMusl } from "../system/target.ts";
import type { Arguments, Command, Option } from "./arguments.ts";
import { EXIT, nearest, usage } from "./failure.ts";
import { type Input, inputsOf } from "./input.ts";
import { json, note, print, say } from "./output.ts";
import { type Part, partsOf } from "./parts.ts";

const ABI: Option = {
  value: "NAME",
  choices: Object.keys(table),
  help: 'the layout to use, a name from "unix-ancillary abis"; default: that of this machine',
};

/** The name of this machine's row in the ABI table; null if it has none. */
function hostAbi(): AbiName | null {
  return hostAbiName(
    process.platform,
    process.arch,
    process.platform === "linux" ? (isMusl() ? "musl" : "glibc") : null,
    endianness() === "LE" ? "little" : "big",
  );
}

function abiOf(args: Arguments): Abi {
  const name = args.text("abi") ?? hostAbi();
  if (name === null) throw usage("--abi NAME is required: this machine is not in the ABI table");
  if (!Object.hasOwn(table, name)) {
    const near = nearest(name, Object.keys(table));
    throw usage(
      `--abi expected a name that "unix-ancillary abis" lists, got "${name}"`,
      near && `did you mean ${near}?`,
    );
  }
  return table[name as AbiName];
}

export const decode: Command = {
  name: "decode",
  synopsis: ["decode [--abi NAME] [--hex] [FILE]"],
  summary: "decode a control buffer, as recvmsg returned it in msg_control",
  about: `Reads a control buffer, the first msg_controllen bytes of msg_control, from FILE or standard input, and prints every
control message in it: its header, its payload and their meaning. If the buffer is malformed, it also prints where and why,
and exits with 3.

Text is recognised: what xxd, hexdump, od, gdb (x/24xb, print), lldb and strace -e read print, arrays and strings of C, Python,
JavaScript, Rust and Go, and plain hex digits. Of lines of strace each msg_control is decoded, with its msg_flags.`,
  options: {
    abi: ABI,
    hex: {
      help: "reads text only; of hex digits it ignores spaces, line breaks, commas, colons, 0x and \\x between them",
    },
  },
  words: "files",
  examples: [
    [
      "echo 14000000 00000000 01000000 01000000 07000000 | unix-ancillary decode --abi linux-x86_64-glibc --hex",
      "decodes an SCM_RIGHTS message with descriptor 7",
    ],
    [
      "strace -v -e recvmsg ./server 2>&1 | grep msg_control= | unix-ancillary decode",
      "decodes the control messages that a program receives",
    ],
    ["unix-ancillary decode --abi darwin-arm64 control.bin", "decodes a control buffer saved on a Mac"],
  ],
  async run(args) {
    if (args.words.length > 1) throw usage(`expected one FILE, got ${args.words.length}`);
    const abi = abiOf(args);
    const [file = "-"] = args.words;
    const input = file === "-" ? await standardInput() : readFileSync(file);
    const exits = inputsOf(abi, input, args.has("hex"), say, note).map((one) => show(abi, one, args.has("json")));
    return Math.max(EXIT.DONE, ...exits);
  },
};

/** Prints a control buffer, and returns the exit code. */
function show(abi: Abi, { control, flags }: Input, asJson: boolean): number {
  const codec = new Codec(abi);
  const numbers = abi as unknown as Readonly<Record<string, unknown>>;
  const bits = (flags ?? []).map((name) => numbers[name]).filter((bit) => typeof bit === "number");
  const { messages, malformed } = codec.decode(control, { flags: bits.reduce((all, bit) => all | bit, 0) });
  if (asJson) {
    json({
      abi: abi.name,
      bytes: control.length,
      ...(flags === null ? {} : { flags }),
      messages: messages.map(({ offset, level, type, data }) => ({
        offset,
        length: codec.len(data.length),
        level,
        type,
        name: level === abi.SOL_SOCKET ? typeName(abi, type) : null,
        data: Buffer.from(data).toString("hex"),
        payload: codec.payloadOf({ level, type, data }),
      })),
      malformed,
    });
  } else {
    print(inspect(abi, control).trimEnd());
    if (flags !== null) print(`msg_flags ${flags.join("|") || 0}`);
    if (flags?.includes("MSG_CTRUNC")) print("  MSG_CTRUNC: the kernel had more control data than it delivered");
  }
  return malformed === null ? EXIT.DONE : EXIT.NOTHING;
}

async function standardInput(): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of process.stdin) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

export const abis: Command = {
  name: "abis",
  synopsis: ["abis"],
  summary: "list the known systems and architectures",
  about: `Lists the rows of the ABI table: the layout of control messages on each system and architecture. "known by" is the
evidence for a row: measured on a running kernel, compiled with the target's headers, read in its sources, or taken from
other projects' tables.`,
  options: {},
  examples: [["unix-ancillary abis --json", "prints every number of every row"]],
  run(args) {
    if (args.words.length > 0) throw usage(`abis expected no argument, got "${args.words[0]}"`);
    const host = hostAbi();
    if (args.has("json")) {
      for (const abi of Object.values(table)) json({ ...abi, host: abi.name === host });
      return EXIT.DONE;
    }
    const row = (cells: readonly (string | number)[]) =>
      print(
        cells
          .map((cell, i) => (i === 0 ? String(cell).padEnd(28) : String(cell).padStart(8)))
          .join("")
          .trimEnd(),
      );
    row(["name", "bits", "endian", "header", "data at", "align", "fds", "  known by"]);
    for (const {
      name,
      pointerBytes,
      endian,
      headerBytes,
      dataOffset,
      alignBytes,
      maxFdsPerMessage,
      evidence,
    } of Object.values(table)) {
      const mark = name === host ? "  <- this machine" : "";
      row([
        name,
        8 * pointerBytes,
        endian,
        headerBytes,
        dataOffset,
        alignBytes,
        maxFdsPerMessage,
        `  ${evidence}${mark}`,
      ]);
    }
    return EXIT.DONE;
  },
};

export const layout: Command = {
  name: "layout",
  synopsis: ["layout [--abi NAME]"],
  summary: "draw the layout of a control message: header, descriptor and padding",
  about: `Draws, byte by byte, the control buffer that sends one descriptor, 3, and prints the results of the CMSG_ macros and
the numbers in the header.`,
  options: { abi: ABI },
  examples: [["unix-ancillary layout --abi darwin-arm64", "draws a layout without padding, with SOL_SOCKET 65535"]],
  run(args) {
    if (args.words.length > 0)
      throw usage(
        `layout expected no argument, got "${args.words[0]}"`,
        "to choose a layout: unix-ancillary layout --abi NAME",
      );
    const abi = abiOf(args);
    const codec = new Codec(abi);
    const control = codec.encode([codec.rights([EXAMPLE])]);
    const fields = fieldsOf(abi, codec, control);
    if (args.has("json")) {
      json({
        abi: abi.name,
        pointerBytes: abi.pointerBytes,
        endian: abi.endian,
        headerBytes: abi.headerBytes,
        dataOffset: abi.dataOffset,
        alignBytes: abi.alignBytes,
        maxFdsPerMessage: abi.maxFdsPerMessage,
        example: {
          fds: [EXAMPLE],
          len: codec.len(4),
          space: codec.space(4),
          controllen: control.length,
          fields,
          hex: Buffer.from(control).toString("hex"),
        },
      });
      return EXIT.DONE;
    }
    print(`${abi.name}: ${8 * abi.pointerBytes} bits, ${abi.endian}-endian; known by: ${abi.evidence}\n`);
    print(picture(fields));
    print(`
sizeof(struct cmsghdr) ${abi.headerBytes}, CMSG_DATA at ${abi.dataOffset}, the next header at a multiple of ${abi.headerAlignBytes}
CMSG_LEN(4) ${codec.len(4)}, CMSG_SPACE(4) ${codec.space(4)}; msg_controllen to send one descriptor: ${control.length}
at most ${abi.maxFdsPerMessage} descriptors in one message

the bytes:`);
    print(inspect(abi, control).trimEnd());
    return EXIT.DONE;
  },
};

/** The descriptor in the example. */
const EXAMPLE = 3;

/** A message with one descriptor, and its padding to `CMSG_SPACE` where a send leaves that out. */
function fieldsOf(abi: Abi, codec: Codec, control: Uint8Array): Field[] {
  const whole = new Uint8Array(codec.space(4));
  whole.set(control);
  return partsOf(abi, whole, codec.decode(whole)).map(({ name, offset, bytes, value }) => ({
    name,
    offset,
    bytes,
    value,
  }));
}

type Field = Pick<Part, "name" | "offset" | "bytes" | "value">;

/** Boxes of 4 bytes, two per row. */
function picture(fields: readonly Field[]): string {
  const width = 20;
  const cells = fields.flatMap(({ name, bytes, value }) => {
    const label = value === null ? name : `${name} = ${value}`;
    return Array.from({ length: bytes / 4 }, (_, i) => ({ label: i === 0 ? label : "", first: i === 0 }));
  });
  const rows: (typeof cells)[] = [];
  for (let i = 0; i < cells.length; i += 2) rows.push(cells.slice(i, i + 2));
  const line = (length: number) => `        +${`${"-".repeat(width)}+`.repeat(length)}`;
  const lines = [`offset   +0${" ".repeat(width - 1)}+4`, line(2)];
  for (const [i, row] of rows.entries()) {
    let text = `${String(8 * i).padStart(6)}  `;
    for (const [j, { label, first }] of row.entries())
      text += `${j === 0 || first ? "|" : " "} ${label.padEnd(width - 1)}`;
    lines.push(`${text}|`, line(row.length));
  }
  return lines.join("\n");
}
