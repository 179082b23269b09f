// The public declarations of each entry point: the declarations that tsc emits for the files of `src`, reduced to the names that
// the entry points export. A name that two entry points export is declared by the first and imported by the other, so that a
// class with private members is the same type in both.
//
// Members that are `protected` or `@internal` are left out. `#private` takes their place, as tsc writes it for names with a `#`,
// so that no other object is assignable to the class. Such a constructor stays, without its parameters: with `stripInternal`
// the class would get a public constructor instead.

import { writeFileSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { getJSDocTags, ModifierFlags, SyntaxKind } from "typescript/unstable/ast";
import { API } from "typescript/unstable/sync";

/** Where tsc writes the declarations of each file. */
const EMITTED = "build/types";

/** The entry points, each after those that it imports. `file` is below `dist/`, beside the script. */
export const ENTRIES = [
  { specifier: "unix-ancillary/core", source: "core/index", file: "core/index" },
  { specifier: "unix-ancillary", source: "index", file: "index" },
  { specifier: "unix-ancillary/testing", source: "testing/index", file: "testing" },
  { specifier: "unix-ancillary/stream", source: "stream/index", file: "stream" },
  { specifier: "unix-ancillary/usocket", source: "usocket/index", file: "usocket" },
  { specifier: "unix-ancillary/handoff", source: "handoff/index", file: "handoff" },
];

const byName = ([a], [b]) => (a < b ? -1 : a > b ? 1 : 0);

function* descendants(node) {
  const children = [];
  node.forEachChild((child) => void children.push(child));
  for (const child of children) {
    yield child;
    yield* descendants(child);
  }
}

const isHidden = (member) =>
  (member.modifierFlags & (ModifierFlags.Protected | ModifierFlags.Private)) !== 0 ||
  getJSDocTags(member).some((tag) => tag.tagName.text === "internal");

/** The statement of the file that contains a declaration; null when the declaration is nested in another. */
function statementOf(declaration) {
  const isList = declaration.kind === SyntaxKind.VariableDeclaration;
  const statement = isList ? declaration.parent.parent : declaration;
  return statement.parent?.kind === SyntaxKind.SourceFile ? statement : null;
}

/** The first declaration of a symbol, or of what an alias stands for; null when there is none. */
function target(checker, symbol) {
  const isAlias = [SyntaxKind.ImportSpecifier, SyntaxKind.ExportSpecifier].includes(symbol?.declarations[0]?.kind);
  const [first] = (isAlias ? checker.getAliasedSymbol(symbol) : symbol)?.declarations ?? [];
  return first === undefined ? null : { key: `${first.path}:${first.index}`, declaration: first.resolve() };
}

/** The text of a statement with replacements, each `[start, end, text]`. */
function edited(source, start, end, edits) {
  let text = "";
  let at = start;
  for (const [from, to, replacement] of edits.sort(([a], [b]) => a - b)) {
    text += source.slice(at, from) + replacement;
    at = to;
  }
  return text + source.slice(at, end);
}

/** The edits that leave the hidden members out of the text of a class. */
function* withoutHidden(declaration) {
  const hidden = declaration.members.filter(isHidden);
  let hasConstructor = false;
  for (const member of hidden) {
    const isConstructor = member.kind === SyntaxKind.Constructor && !hasConstructor;
    hasConstructor ||= isConstructor;
    const access = member.modifierFlags & ModifierFlags.Protected ? "protected" : "private";
    yield [member.pos, member.end, isConstructor ? `\n    ${access} constructor();` : ""];
  }
  const isNominal = declaration.members.some(({ name }) => name?.kind === SyntaxKind.PrivateIdentifier);
  if (!isNominal && hidden.some(({ kind }) => kind !== SyntaxKind.Constructor))
    yield [declaration.members.pos, declaration.members.pos, "\n    #private;"];
}

class Reader {
  constructor(folder, { checker, program }) {
    this.folder = folder;
    this.checker = checker;
    this.program = program;
    /** For each exported declaration: its name, and the entry point that declares it. */
    this.owners = new Map();
    this.problems = [];
  }

  /** What a file exports, by name. */
  exportsOf(source) {
    const file = this.program.getSourceFile(resolve(this.folder, `${source}.d.ts`));
    return this.checker.getExportsOfModule(this.checker.getSymbolAtLocation(file)).map((symbol) => {
      const specifier = symbol.declarations[0].resolve();
      const isType = specifier.isTypeOnly === true || specifier.parent.parent.isTypeOnly === true;
      return { name: symbol.name, isType, symbol, ...target(this.checker, symbol) };
    });
  }

  /** Reads an entry point: what it exports, imports and declares. */
  entry({ specifier, source, file }) {
    const entry = { specifier, file, imports: new Map(), exported: new Map(), declarations: new Map(), types: [] };
    this.current = entry;
    const exports = this.exportsOf(source);
    for (const { name, key } of exports) if (!this.owners.has(key)) this.owners.set(key, { name, specifier });
    for (const { name, key, isType, symbol } of exports) {
      const owner = this.owners.get(key);
      if (owner.specifier !== specifier || owner.name !== name) {
        this.imported(entry.exported, owner.specifier).set(name, { name: owner.name, isType });
        continue;
      }
      const statements = [
        ...new Set(this.checker.getAliasedSymbol(symbol).declarations.map((handle) => statementOf(handle.resolve()))),
      ];
      // A class that is exported as a type only is not a value for importers.
      const asType = isType && statements.some(({ kind }) => kind === SyntaxKind.ClassDeclaration);
      if (asType) entry.types.push(name);
      entry.declarations.set(name, {
        isType: asType,
        texts: statements.map((statement) => this.declared(name, statement)),
      });
      if (statements[0].jsDoc === undefined) this.problems.push(`${name} has no comment`);
    }
    entry.declarations = new Map([...entry.declarations].sort(byName));
    return entry;
  }

  /** The names imported from a module, by their local names. */
  imported(imports, from) {
    if (!imports.has(from)) imports.set(from, new Map());
    return imports.get(from);
  }

  /** The comment of a statement, and its text without `export` and `declare`. */
  declared(name, statement) {
    const { text } = statement.getSourceFile();
    const modifiers = (statement.modifiers ?? []).filter(({ kind }) =>
      [SyntaxKind.ExportKeyword, SyntaxKind.DeclareKeyword].includes(kind),
    );
    const start = modifiers.at(-1)?.end ?? statement.getStart();
    const isClass = statement.kind === SyntaxKind.ClassDeclaration;
    const hidden = isClass ? [...withoutHidden(statement)] : [];
    const isCut = ({ pos, end }) => hidden.some(([from, to]) => from <= pos && end <= to);
    const renamed = [...this.references(name, statement, isCut)];
    this.checkComments(name, statement, isCut);
    const comment = statement.jsDoc?.at(-1);
    return {
      comment: comment === undefined ? "" : text.slice(comment.pos, comment.end).trim(),
      text: edited(text, start, statement.end, [...hidden, ...renamed]).trim(),
    };
  }

  /** Resolves the names in a declaration, and records imports and problems. Yields edits where the exported name is another. */
  *references(name, statement, isCut) {
    const identifiers = [...descendants(statement)].filter(
      (node) => node.kind === SyntaxKind.Identifier && !isCut(node),
    );
    const symbols = this.checker.getSymbolAtLocation(identifiers);
    for (const [i, node] of identifiers.entries()) {
      const declaration = symbols[i]?.declarations[0]?.resolve();
      if (declaration === undefined) continue;
      const from =
        declaration.kind === SyntaxKind.ImportSpecifier && declaration.parent.parent.parent.moduleSpecifier.text;
      if (from && !from.startsWith(".")) {
        const imported = (declaration.propertyName ?? declaration.name).text;
        this.importName(node.text, from, imported);
        continue;
      }
      const found = target(this.checker, symbols[i]);
      // Type parameters, parameters, members, and globals need nothing.
      if (found === null || statementOf(found.declaration) === null) continue;
      if (!found.declaration.getSourceFile().fileName.startsWith(this.folder)) continue;
      const owner = this.owners.get(found.key);
      if (owner === undefined) this.problems.push(`${name} mentions ${node.text}, which no entry point exports`);
      else if (owner.specifier !== this.current.specifier) this.importName(owner.name, owner.specifier, owner.name);
      if (owner !== undefined && owner.name !== node.text) yield [node.getStart(), node.end, owner.name];
    }
  }

  importName(local, from, imported) {
    for (const [other, names] of this.current.imports) {
      if (names.has(local) && (other !== from || names.get(local).name !== imported))
        this.problems.push(`${this.current.specifier} imports two things as ${local}, from ${other} and ${from}`);
    }
    this.imported(this.current.imports, from).set(local, { name: imported, isType: true });
  }

  checkComments(name, statement, isCut) {
    const explained = new Set();
    for (const member of membersOf(statement)) {
      const text = member.name?.getText() ?? "constructor";
      // The first of several overloads has the comment. Constants have the names, and the meaning, of those in C headers.
      if (member.jsDoc !== undefined) explained.add(text);
      if (explained.has(text) || isCut(member) || isHidden(member) || /^#|^[A-Z0-9_]+$/.test(text)) continue;
      if (this.isInherited(statement, text)) continue;
      this.problems.push(`${name}.${text} has no comment`);
    }
  }

  /** Whether a base of the class declares the member, with a comment. */
  isInherited(statement, text) {
    return (statement.heritageClauses ?? [])
      .flatMap(({ types }) => [...types])
      .some(({ expression }) => {
        const base = target(this.checker, this.checker.getSymbolAtLocation(expression))?.declaration;
        if (base?.members === undefined) return false;
        const has = base.members.some((member) => member.jsDoc !== undefined && member.name?.getText() === text);
        return has || this.isInherited(base, text);
      });
  }
}

/** The members of a class, an interface or an alias of an object type. */
function membersOf({ members, type }) {
  return members ?? type?.members ?? [];
}

/**
 * Reads the declarations that tsc emitted.
 *
 * @returns the entry points, and the `problems`: declarations that mention a type that no entry point exports, or lack a comment
 */
export function publicDeclarations(emitted = EMITTED) {
  const api = new API({ cwd: process.cwd() });
  try {
    const files = ENTRIES.map(({ source }) => resolve(emitted, `${source}.d.ts`));
    const reader = new Reader(
      resolve(emitted),
      api.updateSnapshot({ openFiles: files }).getDefaultProjectForFile(files[0]),
    );
    const entries = ENTRIES.map((entry) => reader.entry(entry));
    return { entries, problems: [...new Set(reader.problems)] };
  } finally {
    api.close();
  }
}

/** `import` or `export` lines. `path` gives the path of a module. */
function lines(keyword, imports, path) {
  return [...imports].sort(byName).map(([from, names]) => {
    const all = [...names].sort(byName);
    const areTypes = all.every(([, { isType }]) => isType);
    const list = all.map(([local, { name, isType }]) => {
      const type = isType && !areTypes ? "type " : "";
      return `${type}${name === local ? name : `${name} as ${local}`}`;
    });
    return `${keyword}${areTypes ? " type" : ""} { ${list.join(", ")} } from "${path(from)}";\n`;
  });
}

/** An entry point as text. `declare` is the prefix of classes, functions and constants. */
function render({ imports, exported, declarations, types }, path, declare) {
  const head = [...lines("import", imports, path), ...lines("export", exported, path)].join("");
  const blocks = [...declarations.values()].flatMap(({ isType, texts }) =>
    texts.map(({ comment, text }) => {
      const isErased = /^(interface|type) /.test(text);
      return `${comment}${comment && "\n"}${isType ? "" : "export "}${isErased ? "" : declare}${text}\n`;
    }),
  );
  const tail = types.length > 0 ? `export type { ${types.sort().join(", ")} };\n` : "";
  return [head, ...blocks, tail].filter((part) => part !== "").join("\n");
}

/** All entry points as one text, each an ambient module. */
export function renderPage(entries) {
  const indented = (text) => text.replace(/^(?=.)/gm, "    ");
  return entries
    .map((entry) => `declare module "${entry.specifier}" {\n${indented(render(entry, (from) => from, ""))}}\n`)
    .join("\n");
}

/** The files of Wasm, and what they are for. */
const MODULES = {
  "core/core.wasm": "The codec, for `provideCoreModule` of `unix-ancillary/core`.",
  "cmsgdump.wasm": "The WASI command `cmsgdump`, for `WebAssembly.Instance` with `wasi_snapshot_preview1`.",
};

/**
 * The declarations of a file of Wasm. The type is in the libraries of browsers and of workerd, and nowhere else: an empty interface is
 * merged with it.
 */
const moduleDeclarations = (what) => `declare global {
  namespace WebAssembly {
    interface Module {}
  }
}
/**
 * ${what}
 *
 * This is what an import gives where a file of Wasm is imported as a compiled module: workerd, and bundlers for it. With Node, read the
 * file: \`readFileSync(fileURLToPath(import.meta.resolve(...)))\`.
 */
declare const module: WebAssembly.Module;
export default module;
`;

/**
 * Writes the files of each entry point below `dist/`, and those of the Wasm files. The declarations are those of CommonJS, because a
 * module of either kind may import them; TypeScript before 5.8 lets no CommonJS module import those of an ES module. So a class is
 * one type in both.
 */
export function writeDeclarations() {
  for (const [file, what] of Object.entries(MODULES))
    writeFileSync(join("dist", `${file}.d.ts`), moduleDeclarations(what));
  const { entries } = publicDeclarations();
  const files = new Map(ENTRIES.map(({ specifier, file }) => [specifier, file]));
  for (const entry of entries) {
    const path = (from) => {
      if (!files.has(from)) return from;
      const to = relative(dirname(entry.file), files.get(from));
      return `${to.startsWith(".") ? "" : "./"}${to}.cjs`;
    };
    // TypeScript 7 includes no @types package unless a tsconfig.json, or this line, names it.
    const usesNode = [...entry.imports.keys()].some((from) => from.startsWith("node:"));
    const reference = usesNode ? '/// <reference types="node" />\n' : "";
    const file = join("dist", entry.file);
    writeFileSync(`${file}.d.cts`, reference + render(entry, path, "declare "));
    writeFileSync(`${file}.d.ts`, `export * from "./${basename(file)}.cjs";\n`);
  }
}
