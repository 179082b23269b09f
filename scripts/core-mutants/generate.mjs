// Mutants of assembly/: every small change that a rule below makes somewhere in the syntax tree, as AssemblyScript's own parser sees it.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { NodeKind, Parser, Token } from "assemblyscript";

const RELATIONS = {
  "<": ["<=", ">="],
  "<=": ["<", ">"],
  ">": [">=", "<="],
  ">=": [">", "<"],
  "===": ["!=="],
  "!==": ["==="],
};
const OPERATORS = {
  ...{
    "+": ["-"],
    "-": ["+"],
    "*": ["+"],
    "<<": [">>"],
    ">>": ["<<", ">>>"],
    ">>>": [">>", "<<"],
    "&": ["|"],
    "|": ["&", "^"],
  },
  ...{ "+=": ["-=", "="], "-=": ["+=", "="] },
};
const LOGIC = { "&&": "||", "||": "&&" };
/** Types of variables and casts, and what they may be mistaken for. */
const TYPES = { u32: ["i32"], i32: ["u32"], u64: ["u32", "i64"], usize: ["i32"] };
/** Types of instructions, of another width or sign. */
const WIDTHS = { u32: ["u16", "i32"], i32: ["i16", "u32"], u64: ["u32", "i64"] };
const INTRINSICS = { min: ["max"], max: ["min"], bswap: [""], popcnt: ["", "clz"], load: [], store: [] };

const isNode = (value) =>
  typeof value === "object" && value !== null && typeof value.kind === "number" && "range" in value;

function childrenOf(node) {
  return Object.entries(node).flatMap(([key, value]) =>
    key === "range" ? [] : Array.isArray(value) ? value.filter(isNode) : isNode(value) ? [value] : [],
  );
}

/** The files of the module, by name. */
export function sources() {
  const names = readdirSync("assembly").filter((name) => name.endsWith(".ts"));
  return new Map(names.map((name) => [name, readFileSync(join("assembly", name), "utf8")]));
}

/** The syntax tree of a file. */
function parse(name, text) {
  const parser = new Parser();
  parser.parseFile(text, `assembly/${name}`, true);
  const [error] = parser.diagnostics;
  if (error !== undefined) throw new Error(`${name}: ${error.message}`);
  return parser.sources[0];
}

/** What the names of all files stand for: members of `abi` and `Register`, functions with their parameters, variables and constants. */
function declared(trees) {
  const names = { abi: [], Register: [], functions: new Map() };
  for (const tree of trees.values()) {
    for (const node of tree.statements) {
      if (node.kind === NodeKind.NamespaceDeclaration) {
        const fields = node.members.flatMap(({ declarations }) => declarations);
        names.abi = fields.map(({ name, type }) => ({ name: name.text, type: typeOf(type) }));
      }
      if (node.kind === NodeKind.EnumDeclaration)
        names.Register = node.values.map(({ name }) => ({ name: name.text, type: "i32" }));
      if (node.kind === NodeKind.FunctionDeclaration) {
        const { parameters, returnType } = node.signature;
        const types = [...parameters.map(({ type }) => typeOf(type)), typeOf(returnType)];
        names.functions.set(node.name.text, types.join());
      }
    }
  }
  return names;
}

const typeOf = (type) => type?.range.source.text.slice(type.range.start, type.range.end) ?? "";

/** The one behind a name among those of its type. */
function neighbours(list, name) {
  const own = list.find((one) => one.name === name);
  if (own === undefined) return [];
  const alike = list.filter(({ type }) => type === own.type).map((one) => one.name);
  const at = alike.indexOf(name);
  return [alike[(at + 1) % alike.length]].filter((other) => other !== name);
}

/** The mutants of one file. */
class Generator {
  mutants = [];
  #name;
  #text;
  #names;
  /** Texts that were made already: two rules may do the same. */
  #made;
  /** Variables and constants in scope: of the file, then of the function. */
  #scope;
  #function = "";
  #returns = "";

  constructor(name, tree, names) {
    this.#name = name;
    this.#text = tree.text;
    this.#names = names;
    this.#made = new Set([tree.text]);
    this.#scope = tree.statements
      .filter(({ kind }) => kind === NodeKind.Variable)
      .flatMap(({ declarations }) => declarations.map((one) => ({ name: one.name.text, type: typeOf(one.type) })));
    for (const statement of tree.statements) this.#visit(statement, null);
  }

  #slice({ range }) {
    return this.#text.slice(range.start, range.end);
  }

  #change(start, end, replacement) {
    const text = this.#text.slice(0, start) + replacement + this.#text.slice(end);
    if (this.#made.has(text)) return;
    this.#made.add(text);
    const lineStart = this.#text.lastIndexOf("\n", start) + 1;
    const line = this.#text.slice(0, lineStart).split("\n").length;
    const endOf = (whole, from) => {
      const found = whole.indexOf("\n", from);
      return found === -1 ? whole.length : found;
    };
    const squeezed = (piece) => piece.replace(/\s+/g, " ").trim();
    const before = squeezed(this.#text.slice(lineStart, endOf(this.#text, end - 1)));
    const after = squeezed(text.slice(lineStart, endOf(text, start + replacement.length)));
    this.mutants.push({ file: this.#name, line, within: this.#function, before, after, text });
  }

  #replace(node, replacement) {
    this.#change(node.range.start, node.range.end, replacement);
  }

  /** Replaces a token between two nodes, or in front of one. */
  #token(from, to, token, replacement) {
    const at = this.#text.slice(from, to).indexOf(token);
    if (at < 0) throw new Error(`${this.#name}: no ${token} in ${this.#text.slice(from, to)}`);
    this.#change(from + at, from + at + token.length, replacement);
  }

  #condition(node) {
    this.#replace(node, "true");
    this.#replace(node, "false");
  }

  /** @param parent the statement or expression that the node is in */
  #visit(node, parent) {
    this.#mutate(node, parent);
    if (node.kind === NodeKind.FunctionDeclaration) {
      const outer = [this.#scope, this.#function, this.#returns];
      const { parameters, returnType } = node.signature;
      this.#scope = [...this.#scope, ...parameters.map(({ name, type }) => ({ name: name.text, type: typeOf(type) }))];
      this.#function = node.name.text;
      this.#returns = typeOf(returnType);
      for (const parameter of parameters) this.#type(parameter.type);
      for (const statement of node.body.statements) this.#visit(statement, node);
      [this.#scope, this.#function, this.#returns] = outer;
      return;
    }
    if (node.kind === NodeKind.ImportDeclaration || node.kind === NodeKind.Import) return;
    for (const child of childrenOf(node)) this.#visit(child, node);
    if (node.kind === NodeKind.Variable && this.#function !== "")
      this.#scope = [
        ...this.#scope,
        ...node.declarations.map((one) => ({ name: one.name.text, type: typeOf(one.type) })),
      ];
  }

  #type(type, others = TYPES) {
    for (const other of others[typeOf(type)] ?? []) this.#replace(type, other);
  }

  #mutate(node, parent) {
    switch (node.kind) {
      case NodeKind.Binary:
        return this.#binary(node);
      case NodeKind.UnaryPrefix:
        this.#change(node.range.start, node.operand.range.start, "");
        if (node.operator === Token.Plus_Plus) this.#change(node.range.start, node.operand.range.start, "--");
        return;
      case NodeKind.UnaryPostfix:
        this.#change(node.operand.range.end, node.range.end, "--");
        return this.#change(node.operand.range.end, node.range.end, "");
      case NodeKind.Literal: {
        const text = this.#slice(node);
        if (!/^(0x)?[\da-fA-F]+$/.test(text)) return;
        const value = BigInt(text);
        for (const other of value === 0n ? [1n] : [value - 1n, value + 1n])
          this.#replace(node, text.startsWith("0x") ? `0x${other.toString(16)}` : String(other));
        return;
      }
      case NodeKind.True:
        return this.#replace(node, "false");
      case NodeKind.False:
        return this.#replace(node, "true");
      case NodeKind.If:
      case NodeKind.While:
      case NodeKind.Ternary:
        return this.#condition(node.condition);
      case NodeKind.For:
        if (node.condition !== null) this.#condition(node.condition);
        return;
      case NodeKind.Expression:
        // Not the initializer of a loop.
        if (parent?.kind !== NodeKind.For) this.#statement(node);
        return;
      case NodeKind.Return:
        return this.#return(node, parent);
      case NodeKind.Continue:
        this.#replace(node, "break;");
        return this.#replace(node, ";");
      case NodeKind.Break:
        this.#replace(node, "continue;");
        return this.#replace(node, ";");
      case NodeKind.Assertion:
        this.#type(node.toType);
        // Without the cast.
        return this.#replace(node, `(${this.#slice(node.expression)})`);
      case NodeKind.VariableDeclaration:
        return this.#type(node.type);
      case NodeKind.Call:
        return this.#call(node);
      case NodeKind.PropertyAccess: {
        const { expression, property } = node;
        for (const other of neighbours(this.#names[this.#slice(expression)] ?? [], property.text))
          this.#replace(property, other);
        return;
      }
      case NodeKind.Identifier:
        if (parent?.kind === NodeKind.VariableDeclaration && parent.name === node) return;
        if (parent?.kind === NodeKind.PropertyAccess) return;
        for (const other of neighbours(this.#scope, node.text)) this.#replace(node, other);
        return;
      case NodeKind.Export:
        return this.#exports(node);
    }
  }

  /** Drops a statement. */
  #statement(node) {
    const { start, end } = node.range;
    this.#change(start, this.#text[end] === ";" ? end + 1 : end, ";");
  }

  #return(node, parent) {
    const isLast = parent?.kind === NodeKind.FunctionDeclaration && parent.body.statements.at(-1) === node;
    if (!isLast) this.#statement(node);
    if (node.value === null) return;
    if (this.#returns === "bool") for (const other of ["true", "false"]) this.#replace(node.value, other);
  }

  #binary({ left, right }) {
    const [from, to] = [left.range.end, right.range.start];
    const token = /(?<!\S)(<=|>=|===|!==|&&|\|\||<<|>>>|>>|\+=|-=|[-<>+&|*])(?!\S)/.exec(
      this.#text.slice(from, to),
    )?.[0];
    for (const other of [...(RELATIONS[token] ?? []), ...(OPERATORS[token] ?? [])]) this.#token(from, to, token, other);
    if (LOGIC[token] === undefined) return;
    this.#token(from, to, token, LOGIC[token]);
    // One side alone.
    this.#change(left.range.start, right.range.end, this.#slice(left));
    this.#change(left.range.start, right.range.end, this.#slice(right));
  }

  #call(node) {
    const { expression, args, typeArguments } = node;
    const name = this.#slice(expression);
    for (const [i, argument] of args.entries()) {
      const next = args[i + 1];
      // The least and the most of two are those of the same two.
      if (next === undefined || name === "min" || name === "max") continue;
      const between = this.#text.slice(argument.range.end, next.range.start);
      this.#change(argument.range.start, next.range.end, this.#slice(next) + between + this.#slice(argument));
    }
    if (INTRINSICS[name] !== undefined) {
      for (const type of typeArguments ?? []) this.#type(type, WIDTHS);
      const end = node.range.start + name.length;
      for (const other of INTRINSICS[name]) {
        if (other === "") this.#replace(node, `(${args.map((argument) => this.#slice(argument)).join(", ")})`);
        else this.#change(node.range.start, end, other);
      }
      // An address without its offset.
      const offset = args[name === "load" ? 1 : 2];
      if (/^(load|store)$/.test(name) && offset !== undefined) this.#replace(offset, "0");
      return;
    }
    const types = this.#names.functions.get(name);
    for (const [other, theirs] of this.#names.functions)
      if (other !== name && theirs === types) this.#replace(expression, other);
  }

  /** Exports with each other's names. */
  #exports(node) {
    for (const [i, member] of (node.members ?? []).entries()) {
      const next = node.members[i + 1];
      if (next === undefined) continue;
      const [a, b] = [member, next].map(({ localName }) => localName.text);
      this.#change(member.range.start, next.range.end, `${a} as ${b}, ${b} as ${a}`);
    }
  }
}

/**
 * All mutants, in the order of files and lines: `file`, `line`, the function that it is `within`, the line `before` and `after`, and the
 * whole `text` of the changed file.
 */
export function generate() {
  const trees = new Map([...sources()].map(([name, text]) => [name, parse(name, text)]));
  const names = declared(trees);
  return [...trees].flatMap(([name, tree]) => {
    const { mutants } = new Generator(name, tree, names);
    return mutants.sort((a, b) => a.line - b.line);
  });
}
