/** `man`: the manual page, from the table of commands and options, in the language of man(7). */

import { COMMON, type Command, type Option, written } from "./arguments.ts";
import { EXIT, EXIT_CODES, EXIT_OF_EXEC, usage } from "./failure.ts";
import { print } from "./output.ts";

export function man(commands: () => readonly Command[], version: () => string): Command {
  return {
    name: "man",
    synopsis: ["man"],
    summary: "print the manual page",
    about: `Prints the manual page, for man(1). A global installation by npm has it already: man unix-ancillary.`,
    options: {},
    examples: [["unix-ancillary man | man -l -", "shows it"]],
    run(args) {
      if (args.words.length > 0) throw usage(`man expected no argument, got "${args.words[0]}"`);
      print(page(commands(), version()).trimEnd());
      return EXIT.DONE;
    },
  };
}

/** Text: what troff would read as a request, an escape or a hyphen is shown as it is. */
const text = (words: string): string =>
  words
    .replace(/\\/g, "\\e")
    .replace(/-/g, "\\-")
    .replace(/^(?=[.'])/gm, "\\&");

const bold = (words: string): string => `\\fB${text(words)}\\fR`;

/** A command line: names in capitals stand for something. */
const commandLine = (words: string): string =>
  text(words).replace(/(?<![A-Za-z@])[A-Z][A-Z]*(?![a-z])/g, (name) => `\\fI${name}\\fR`);

/** The paragraphs of a text whose lines are filled. */
const paragraphs = (words: string): string[] => words.split(/\n\n/).flatMap((paragraph) => [".PP", text(paragraph)]);

const option = ([name, given]: [string, Option]): string[] => [
  ".TP",
  written(name, given)
    .map((way) => {
      const [flag, ...value] = way.split(" ");
      return [bold(flag!), ...value.map((word) => `\\fI${text(word)}\\fR`)].join(" ");
    })
    .join(", "),
  text(given.help),
];

function page(commands: readonly Command[], version: string): string {
  return [
    `.TH UNIX\\-ANCILLARY 1 "" ${JSON.stringify(`unix-ancillary ${version}`)}`,
    ".nh",
    ".ad l",
    ".SH NAME",
    "unix\\-ancillary \\- pass open files, sockets and pipes from one process to another, over Unix sockets",
    ".SH SYNOPSIS",
    ...commands.flatMap(({ synopsis }) =>
      synopsis.flatMap((line) => [`${bold("unix-ancillary")} ${commandLine(line)}`, ".br"]),
    ),
    `${bold("unix-ancillary")} ${bold("--help")} | ${bold("--version")}`,
    ".SH COMMANDS",
    ...commands.flatMap(({ name, summary, about, options }) => [
      `.SS ${text(name)} \\- ${text(summary)}`,
      ...paragraphs(about),
      ...Object.entries(options).flatMap(option),
    ]),
    ".SH OPTIONS",
    "Every command has these.",
    ...Object.entries(COMMON).flatMap(option),
    ".SH EXIT STATUS",
    ...EXIT_CODES.flatMap(([code, meaning]) => [".TP", bold(String(code)), text(meaning)]),
    ".PP",
    text(EXIT_OF_EXEC),
    ".SH EXAMPLES",
    ...commands.flatMap(({ examples }) => examples.flatMap(([line, what]) => [".TP", bold(line), text(what)])),
    ".SH SEE ALSO",
    "unix(7), cmsg(3), sd_listen_fds(3), recvmsg(2)",
    "",
  ].join("\n");
}
