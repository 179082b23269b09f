/** `completion`: what the Tab key needs to know, for three shells, from the table of commands and options. */

import { COMMON, type Command, type Option } from "./arguments.ts";
import { EXIT, usage } from "./failure.ts";
import { print } from "./output.ts";

type Commands = readonly Command[];

const SHELLS: Readonly<Record<string, (commands: Commands) => string>> = { bash, zsh, fish };

export function completion(commands: () => Commands): Command {
  return {
    name: "completion",
    synopsis: [`completion ${Object.keys(SHELLS).join("|")}`],
    summary: "print a script that completes command lines in bash, zsh or fish",
    about: "Prints a script for the shell: with it the Tab key completes commands, options, their values, and files.",
    options: {},
    words: Object.keys(SHELLS),
    examples: [
      ['eval "$(unix-ancillary completion bash)"', "in ~/.bashrc"],
      ['eval "$(unix-ancillary completion zsh)"', "in ~/.zshrc, after compinit"],
      ["unix-ancillary completion fish | source", "in ~/.config/fish/config.fish"],
    ],
    run(args) {
      const [shell, ...more] = args.words;
      const known = Object.keys(SHELLS).join(", ");
      if (shell === undefined || more.length > 0 || !Object.hasOwn(SHELLS, shell))
        throw usage(
          `completion expected one of ${known}, got ${args.words.map((word) => `"${word}"`).join(" ") || "nothing"}`,
        );
      print(SHELLS[shell]!(commands()).trimEnd());
      return EXIT.DONE;
    },
  };
}

const optionsOf = (command: Command): [string, Option][] => Object.entries({ ...command.options, ...COMMON });

/** The words that name options, short ones too. */
const namesOf = (command: Command): string[] =>
  optionsOf(command).flatMap(([name, { short }]) => (short === undefined ? [`--${name}`] : [`-${short}`, `--${name}`]));

/** The first part of a help text, which has a line of its own in a list. */
const brief = (help: string): string =>
  help
    .replace(/^with --\w+: /, "")
    .split(/[;:(]/)[0]!
    .trim();

/** Inside single quotes. */
const single = (text: string): string => `'${text.replace(/'/g, `'\\''`)}'`;

/** The values of options, as patterns of a `case` of bash. */
function bashValues(command: Command): string[] {
  const cases: string[] = [];
  const free: string[] = [];
  for (const [name, { value, choices }] of optionsOf(command)) {
    if (choices !== undefined) cases.push(`      ${command.name}:--${name}) values=${single(choices.join(" "))} ;;`);
    else if (value !== undefined) free.push(`${command.name}:--${name}`);
  }
  if (free.length > 0) cases.push(`      ${free.join("|")}) return ;;`);
  return cases;
}

function bash(commands: Commands): string {
  const rest = commands.flatMap((command) =>
    optionsOf(command).flatMap(([name, option]) => (option.rest ? [`${command.name}:--${name}`] : [])),
  );
  return `# bash completion for unix-ancillary. An empty answer means files (-o default).
_unix_ancillary() {
  local cur=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} command=\${COMP_WORDS[1]} values= i
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W ${single([...commands.map(({ name }) => name), "--help", "--version"].join(" "))} -- "$cur"))
    return
  fi
  # Behind this option is another command line.
  for ((i = 2; i < COMP_CWORD; i++)); do
    case $command:\${COMP_WORDS[i]} in
      ${rest.join("|")})
        if declare -F _command_offset >/dev/null; then _command_offset $((i + 1))
        elif [ "$COMP_CWORD" -eq $((i + 1)) ]; then COMPREPLY=($(compgen -c -- "$cur")); fi
        return ;;
    esac
  done
  # bash splits --option=value at the "=".
  if [ "$cur" = "=" ]; then cur=
  elif [ "$before" = "=" ]; then before=\${COMP_WORDS[COMP_CWORD-2]}; fi
  case $command:$before in
${commands.flatMap(bashValues).join("\n")}
  esac
  if [ -z "$values" ]; then
    case $cur:$command in
${commands.map((command) => `      -*:${command.name}) values=${single(namesOf(command).join(" "))} ;;`).join("\n")}
${commands
  .filter(({ words }) => typeof words === "object")
  .map(({ name, words }) => `      *:${name}) values=${single((words as readonly string[]).join(" "))} ;;`)
  .join("\n")}
    esac
  fi
  if [ -n "$values" ]; then COMPREPLY=($(compgen -W "$values" -- "$cur")); fi
}
complete -o bashdefault -o default -F _unix_ancillary unix-ancillary
`;
}

/** An option as _arguments takes it. */
function zshOption([name, { value, several, rest, short, choices, help }]: [string, Option]): string[] {
  const text = `[${brief(help).replace(/[\\\]]/g, "\\$&")}]`;
  const action = choices === undefined ? " " : `(${choices.join(" ")})`;
  if (rest) return [single(`--${name}${text}:*:::command: _normal`)];
  if (value !== undefined) return [single(`${several ? "*" : ""}--${name}=${text}:${value}:${action}`)];
  if (short === undefined) return [single(`--${name}${text}`)];
  const either = `(-${short} --${name})`;
  return [single(`${either}-${short}${text}`), single(`${either}--${name}${text}`)];
}

function zsh(commands: Commands): string {
  const words = ({ words }: Command): string[] => {
    if (words === undefined) return [];
    return [single(words === "files" ? "*:file:_files" : `:word:(${words.join(" ")})`)];
  };
  return `#compdef unix-ancillary
_unix_ancillary() {
  local -a names
  names=(
${commands.map(({ name, summary }) => `    ${single(`${name}:${summary.replace(/:/g, "\\:")}`)}`).join("\n")}
  )
  if (( CURRENT == 2 )); then
    if [[ $words[2] == -* ]]; then compadd -- --help --version
    else _describe -t commands command names; fi
    return
  fi
  local name=$words[2]
  shift words
  (( CURRENT-- ))
  case $name in
${commands
  .map(
    (command) =>
      `    ${command.name}) _arguments -s ${[...optionsOf(command).flatMap(zshOption), ...words(command)].join(" \\\n      ")} ;;`,
  )
  .join("\n")}
  esac
}
if [[ $funcstack[1] == _unix_ancillary ]]; then _unix_ancillary "$@"; else compdef _unix_ancillary unix-ancillary; fi
`;
}

function fish(commands: Commands): string {
  const quote = (text: string): string => `'${text.replace(/[\\']/g, "\\$&")}'`;
  const rest = [...new Set(commands.flatMap((command) => optionsOf(command).filter(([, { rest }]) => rest)))];
  const ends = [...new Set(rest.map(([name]) => `--${name}`))];
  const line = (command: Command, [name, { value, short, choices, rest, help }]: [string, Option]): string => {
    const parts = [`complete -c unix-ancillary -n ${quote(`__unix_ancillary_is ${command.name}`)}`];
    if (short !== undefined) parts.push(`-s ${short}`);
    parts.push(`-l ${name}`);
    if (choices !== undefined) parts.push(`-x -a ${quote(choices.join(" "))}`);
    else if (value !== undefined || rest) parts.push("-x");
    if (rest) parts.push("-a '(__fish_complete_command)'");
    return `${parts.join(" ")} -d ${quote(brief(help))}`;
  };
  return `# fish completion for unix-ancillary.
# Whether the command line is one of this command, and not yet the other command line behind ${ends.join(" ")}.
function __unix_ancillary_is
    set -l words (commandline -opc)
    test (count $words) -gt 1; and test $words[2] = $argv[1]; or return 1
    for word in $words[3..]
        contains -- $word ${ends.join(" ")}; and return 1
    end
    return 0
end
function __unix_ancillary_exec
    set -l words (commandline -opc)
    for i in (seq 2 (count $words))
        contains -- $words[$i] ${ends.join(" ")}; or continue
        set -l rest (string escape -- $words[(math $i + 1)..])
        complete -C (string join ' ' -- $rest (commandline -ct))
        return
    end
end
complete -c unix-ancillary -f
complete -c unix-ancillary -n 'test (count (commandline -opc)) -eq 1' -l help -d 'prints the list of commands'
complete -c unix-ancillary -n 'test (count (commandline -opc)) -eq 1' -l version -d 'prints the version'
complete -c unix-ancillary -a '(__unix_ancillary_exec)'
${commands
  .flatMap((command) => [
    `complete -c unix-ancillary -n 'test (count (commandline -opc)) -eq 1' -a ${command.name} -d ${quote(command.summary)}`,
    ...optionsOf(command).map((option) => line(command, option)),
    ...(command.words === "files" ? [`complete -c unix-ancillary -n '__unix_ancillary_is ${command.name}' -F`] : []),
    ...(typeof command.words === "object"
      ? [`complete -c unix-ancillary -n '__unix_ancillary_is ${command.name}' -a ${quote(command.words.join(" "))}`]
      : []),
  ])
  .join("\n")}
`;
}
