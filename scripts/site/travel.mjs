// "How a descriptor travels": five drawings, and a table of what seven systems do, from the ABI table and the rules of the virtual
// kernel.

import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { escapeHtml } from "./page.mjs";

const built = (path) => import(pathToFileURL(resolve("build", "lib", path)).href);

/** One row of the ABI table for each system. The rules of a system are the same on all its architectures. */
const SYSTEMS = {
  "linux-x86_64-glibc": "Linux",
  "darwin-arm64": "macOS",
  "freebsd-amd64": "FreeBSD",
  "openbsd-amd64": "OpenBSD",
  "netbsd-amd64": "NetBSD",
  "dragonfly-x86_64": "DragonFly BSD",
  "illumos-amd64": "illumos",
};

const text = (x, y, words, kind = "", anchor = "start") =>
  `<text x="${x}" y="${y}" class="${kind}" text-anchor="${anchor}">${escapeHtml(words)}</text>`;
const rect = (x, y, width, height, kind, round = 6) =>
  `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="${round}" class="${kind}"/>`;
const arrow = (path, kind = "") =>
  `<path d="${path}" class="arrow ${kind}" marker-end="url(#tip${kind.includes("bad") ? "-bad" : ""})"/>`;

const ROW = 27;

/** A process with its descriptor table. `rows`: number, note, kind of the slot. */
function process(x, y, name, rows, width = 128) {
  const height = 34 + rows.length * ROW + 8;
  return [
    rect(x, y, width, height, "process", 10),
    text(x + 12, y + 22, name, "title"),
    ...rows.flatMap(([number, note = "", kind = ""], i) => {
      const top = y + 34 + i * ROW;
      return [
        rect(x + 8, top, width - 16, ROW - 4, `slot ${kind}`, 5),
        text(x + 17, top + 16, number, "number"),
        text(x + 38, top + 16, note, "note"),
      ];
    }),
  ].join("");
}
/** The middle of the right side of a row, and of the left side. */
const right = (x, y, i, width = 128) => [x + width - 8, y + 34 + i * ROW + (ROW - 4) / 2];
const left = (x, y, i) => [x + 8, y + 34 + i * ROW + (ROW - 4) / 2];

function file(x, y, name, note, kind = "") {
  return (
    rect(x, y, 142, 48, `file ${kind}`, 24) +
    text(x + 71, y + 21, name, "title", "middle") +
    text(x + 71, y + 38, note, "note", "middle")
  );
}

const curve = ([x1, y1], [x2, y2]) => `M${x1} ${y1} C${(x1 + x2) / 2} ${y1} ${(x1 + x2) / 2} ${y2} ${x2} ${y2}`;

function figure(title, description, height, contents) {
  return `<svg viewBox="0 0 460 ${height}" role="img" aria-label="${escapeHtml(`${title} ${description}`)}">${contents}</svg>`;
}

const standard = [
  ["0", "terminal"],
  ["1", "terminal"],
  ["2", "terminal"],
];

const STEPS = [
  {
    title: "A descriptor is a number in one process",
    says: "The number is an index into a table that the kernel keeps for the process. The entry points to an <em>open file description</em>: the file, its offset, its flags. The number means nothing in another process, so sending the number alone sends nothing.",
    picture: "Process A has a table with the entries 0 to 3. 0, 1 and 2 point to a terminal, 3 points to an open file.",
    height: 208,
    draw: () => {
      const y = 24;
      return (
        process(16, y, "process A", [...standard, ["3", "data.log", "hot"]]) +
        file(300, 40, "terminal", "read, write") +
        file(300, 136, "data.log", "offset 120, flags", "hot") +
        [0, 1, 2].map((i) => arrow(curve(right(16, y, i), [296, 64]), "soft")).join("") +
        arrow(curve(right(16, y, 3), [296, 160]), "hot")
      );
    },
  },
  {
    title: "sendmsg puts the file in flight",
    says: "A control message of the type <code>SCM_RIGHTS</code> names descriptors of the sender. The kernel looks each one up and puts a reference to the open file description into the message, beside at least one byte. From then on the sender may close its own descriptor: the message keeps the file open.",
    picture:
      "Process A sends a message through a Unix socket. The message in the socket's queue points to the same open file as the entry 3 of process A.",
    height: 232,
    draw: () => {
      const y = 20;
      return (
        process(16, y, "process A", [...standard, ["3", "data.log", "hot"]]) +
        file(300, 34, "data.log", "offset 120, flags", "hot") +
        rect(176, 146, 268, 72, "socket", 10) +
        text(188, 164, "Unix socket: in flight", "note") +
        rect(188, 174, 42, 32, "byte", 5) +
        text(209, 195, "“x”", "number", "middle") +
        rect(236, 174, 128, 32, "slot hot", 5) +
        text(300, 195, "SCM_RIGHTS", "number", "middle") +
        arrow("M144 190 L172 190") +
        arrow(curve(right(16, y, 3), [296, 58]), "soft dashed") +
        arrow("M352 172 C372 150 371 120 371 88", "hot")
      );
    },
  },
  {
    title: "recvmsg makes a new descriptor",
    says: "The kernel enters the open file description into the receiver's table, at the lowest free number, and writes that number into the control buffer. It is a duplicate, as of <code>dup</code>: both processes share the offset and the flags, and each closes its own.",
    picture:
      "Process B has received the file as its entry 4. It points to the same open file as the entry 3 of process A.",
    height: 268,
    draw: () => {
      const y = 20;
      return (
        process(16, y, "process A", [...standard, ["3", "data.log", "gone"]]) +
        process(316, y, "process B", [...standard, ["3", "socket"], ["4", "data.log", "hot"]]) +
        file(159, 206, "data.log", "offset 120, flags", "hot") +
        arrow("M96 152 C104 200 120 226 155 230", "soft dashed") +
        arrow("M364 179 C356 206 340 226 305 230", "hot") +
        text(230, 66, "the socket", "note", "middle") +
        arrow("M148 84 L312 84") +
        text(230, 104, "3 sent, 4 received", "note", "middle")
      );
    },
  },
  {
    title: "Too little room: truncation",
    says: "The receiver says how much control data it has room for. If more descriptors come, some systems deliver those that fit and close the rest, some deliver none, some fail, and some install all of them and tell the numbers of a few: the others leak. <code>MSG_CTRUNC</code> in <code>msg_flags</code> is the sign, where it is not lost. The table below says what each system does.",
    picture:
      "Three descriptors are in a message. The receiver's control buffer has a header and room for one. One arrives, the other two do not.",
    height: 210,
    draw: () =>
      rect(16, 24, 250, 60, "socket", 10) +
      text(28, 43, "in flight: SCM_RIGHTS", "note") +
      [0, 1, 2]
        .map(
          (i) =>
            rect(28 + 76 * i, 50, 70, 26, `slot ${i === 0 ? "hot" : "gone"}`, 5) +
            text(63 + 76 * i, 67, ["one", "two", "three"][i], "number", "middle"),
        )
        .join("") +
      rect(16, 132, 250, 60, "process", 10) +
      text(28, 183, "control buffer of the receiver", "note") +
      rect(28, 140, 116, 26, "byte", 5) +
      text(86, 157, "cmsghdr", "number", "middle") +
      rect(150, 140, 70, 26, "slot hot", 5) +
      text(185, 157, "4", "number", "middle") +
      arrow("M63 80 C63 112 185 100 185 136", "hot") +
      arrow("M215 80 C226 120 262 116 300 84", "bad") +
      arrow("M139 80 C150 142 250 130 300 104", "bad") +
      text(308, 84, "no room:", "title bad") +
      text(308, 103, "closed, or leaked,", "note") +
      text(308, 119, "or nothing arrives", "note"),
  },
  {
    title: "CLOEXEC: not into the next program",
    says: "A descriptor without <code>FD_CLOEXEC</code> survives <code>exec</code>: every program that the receiver starts has it. <code>MSG_CMSG_CLOEXEC</code> sets the flag in the receive itself. Where there is no such flag, <code>fcntl</code> sets it afterwards, and a thread that forks in between leaks the descriptor.",
    picture:
      "Process B has a descriptor 4 with CLOEXEC and a descriptor 5 without. After exec the new program has the descriptor 5, and not 4.",
    height: 232,
    draw: () => {
      const y = 20;
      return (
        process(16, y, "process B", [...standard, ["4", "CLOEXEC", "hot"], ["5", "no flag", "leak"]]) +
        process(316, y, "a program", [...standard, ["4", "closed", "gone"], ["5", "leaked", "leak"]]) +
        text(230, 66, "fork, exec", "note", "middle") +
        arrow("M148 84 L312 84") +
        arrow(`M${right(16, y, 4)[0]} ${right(16, y, 4)[1]} L${left(316, y, 4)[0] - 4} ${right(16, y, 4)[1]}`, "bad")
      );
    },
  },
];

/** What happens on a system when three descriptors come and there is room for one: by the rules of the virtual kernel. */
function truncated(ControlWriter, codec) {
  const { abi } = codec;
  const bytes = new Uint8Array(codec.space(4));
  const writer = new ControlWriter(abi, bytes);
  let installed = 0;
  const errno = writer.rights(3, 100, () => 4 + installed++);
  if (errno !== null) return `nothing arrives, the receive fails: ${errno}`;
  const { messages } = codec.decode(bytes.subarray(0, writer.length), { flags: abi.MSG_CTRUNC });
  const told = messages.flatMap((message) => codec.fdsOf(message)).length;
  const parts = [told === 0 ? "none arrives" : `${told} arrive${told === 1 ? "s" : ""}`];
  const rest = 3 - told;
  parts.push(`${rest} ${rest === 1 ? "is" : "are"} ${installed > told ? "open and not told" : "closed"}`);
  return `${parts.join(", ")}; ${writer.truncated ? "MSG_CTRUNC" : "no MSG_CTRUNC"}`;
}

/** The rows of the table: a title, and what it says of a system. */
const RULES = [
  ["CMSG_SPACE(4): control bytes for one descriptor", ({ codec }) => codec.space(4)],
  ["Most descriptors in one message", ({ abi }) => abi.maxFdsPerMessage],
  [
    "Several SCM_RIGHTS in one sendmsg",
    ({ abi }) =>
      ({
        merged: "merged into one",
        separate: "kept apart",
        refused: "refused",
        first: "all but the first are lost, no error",
      })[abi.severalRights],
  ],
  [
    "Descriptors without a byte, on a stream",
    ({ abi }) => ({ dropped: "dropped, no error", delivered: "delivered" })[abi.emptyStreamRights],
  ],
  [
    "A receive that has descriptors may also have, on a stream",
    ({ abi }) =>
      ({ last: "plain bytes that were sent before", first: "plain bytes that were sent after" })[abi.rightsCarrier],
  ],
  ["Three sent, room for CMSG_SPACE(4)", ({ codec, kernel }) => truncated(kernel.ControlWriter, codec)],
  ["The receiver's table is full", ({ abi }) => abi.tableFullErrno ?? "those that fit arrive, MSG_CTRUNC"],
  [
    "CLOEXEC is set on what arrives",
    ({ abi }) => (abi.MSG_CMSG_CLOEXEC === null ? "by fcntl, after the receive" : "in the receive"),
  ],
  [
    "MSG_PEEK shows",
    ({ abi }) =>
      ({
        duplicates: "new descriptors each time",
        pointers: "kernel pointers",
        omitted: "no descriptors",
        zeroed: "zeros",
      })[abi.peek],
  ],
  [
    "Too many in flight",
    ({ rules }) =>
      rules.refusesInFlight(1, { total: 1e9, ofUser: 1e9, descriptors: 256, files: 10_000 }) ?? "no such limit",
  ],
  [
    "Sockets in flight that nothing can receive",
    ({ rules }) =>
      ({
        unreachable: "are collected",
        "only in flight": "are collected; some that can still be received lose their messages",
      })[rules.collects],
  ],
  ["A send waits in spite of MSG_DONTWAIT", ({ rules }) => (rules.sendIgnoresDontwait ? "yes" : "no")],
  [
    "The sender's credentials in a message",
    ({ abi }) =>
      abi.credentials
        .map(({ name }) => name)
        .filter((name, i, all) => all.indexOf(name) === i)
        .join(", ") || "none",
  ],
  ["Evidence of the row", ({ abi }) => abi.evidence],
];

export async function travel() {
  const { abis, Codec } = await built("core/index.js");
  const { rulesOf } = await built("testing/systems.js");
  const kernel = await built("testing/rules.js");
  const columns = Object.entries(SYSTEMS).map(([name, title]) => {
    const abi = abis[name];
    return { title, abi, codec: new Codec(abi), rules: rulesOf(abi), kernel };
  });
  const rows = RULES.map(([title, of]) => {
    const cells = columns.map((column) => of(column));
    for (const [i, cell] of cells.entries())
      if (cell === undefined) throw new Error(`"${title}" has no words for ${columns[i].abi.name}`);
    const most = cells.filter((cell) => cells.filter((other) => other === cell).length * 2 > cells.length)[0];
    return `<tr><th scope="row">${escapeHtml(title)}</th>${cells
      .map(
        (cell) =>
          `<td>${most === undefined || cell === most ? escapeHtml(cell) : `<mark>${escapeHtml(cell)}</mark>`}</td>`,
      )
      .join("")}</tr>`;
  });
  const tips = ["", "-bad"].map(
    (kind) =>
      `<marker id="tip${kind}" viewBox="0 0 8 8" refX="6.5" refY="4" markerWidth="6.5" markerHeight="6.5" orient="auto-start-reverse"><path d="M0 0 L8 4 L0 8 Z" class="tip${kind}"/></marker>`,
  );
  const steps = STEPS.map(
    ({ title, says, picture, height, draw }, i) => `<li class="card">
<h2><span class="step">${i + 1}</span>${escapeHtml(title)}</h2>
${figure(`${title}.`, picture, height, draw())}
<p>${says}</p>
</li>`,
  );
  return `<section class="lead">
<h1>How a descriptor travels</h1>
<p>The number of a descriptor means nothing in another process. The kernel carries the open file itself, through a Unix socket, in a control message beside the bytes.</p>
</section>
<svg class="unseen" aria-hidden="true"><defs>${tips.join("")}</defs></svg>
<ol class="steps">
${steps.join("\n")}
</ol>
<section class="card">
<h2>What seven systems do</h2>
<p>Generated from the <a href="reference/index.html">ABI table</a> that the library follows and from the rules of its virtual kernel, which are written from the kernels' sources; <a href="guides/kernel-sources.html">their lines</a>. The rows are those of 64-bit machines. What only some systems do is marked.</p>
<!-- A table that scrolls is reached with the keyboard. -->
<section class="scroll rules" tabindex="0" aria-label="Rules of seven systems">
<table>
<thead><tr><td></td>${columns.map(({ title }) => `<th scope="col">${title}</th>`).join("")}</tr></thead>
<tbody>
${rows.join("\n")}
</tbody>
</table>
</section>
<p>unix-ancillary takes care of each of them: see <a href="guides/index.html#what-is-promised">what is promised</a>, and try the bytes in the <a href="index.html">playground</a>.</p>
</section>`;
}
