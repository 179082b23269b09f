// Faults of src/cli/: the command.

export const CLI = [
  {
    name: "the report of send goes into the socket that is its standard output",
    file: "src/cli/output.ts",
    within: "keepOutOf",
    find: "report = errors",
    replacement: "",
    tests: ["cli/cli: standard output"],
  },
  {
    name: "an error of send goes into the socket that is its standard error",
    file: "src/cli/output.ts",
    within: "keepOutOf",
    find: "if (fileOf(2) === file) errors = null;",
    tests: ["cli/cli: standard error"],
  },
  {
    name: "--quiet prints the report",
    file: "src/cli/output.ts",
    within: "print",
    find: "!quiet && report !== null",
    replacement: "report !== null",
    tests: ["cli/cli: quiet"],
  },
];
