// Finds a piece of code by its syntax tree, inside a function that is named, and replaces it. White space, comments, line breaks and
// parentheses make no difference, and the place in the file makes none.

import { parseAst } from "rollup/parseAst";

const POSITIONS = new Set(["start", "end", "raw"]);

function isNode(value) {
  return typeof value === "object" && value !== null && typeof value.type === "string";
}

function childrenOf(node) {
  return Object.values(node).flatMap((value) =>
    Array.isArray(value) ? value.filter(isNode) : isNode(value) ? [value] : [],
  );
}

/** Whether a node of a pattern is `_`, as an expression or as a statement. */
function isAnything(node) {
  const { type, name, expression } = node;
  return type === "ExpressionStatement" ? isAnything(expression) : type === "Identifier" && name === "_";
}

/** Whether a piece of a tree has the form of a pattern, in which `_` stands for any expression or statement. */
function matches(pattern, piece) {
  if (isNode(pattern) && isAnything(pattern)) return isNode(piece);
  if (Array.isArray(pattern))
    return (
      Array.isArray(piece) && pattern.length === piece.length && pattern.every((part, i) => matches(part, piece[i]))
    );
  if (typeof pattern !== "object" || pattern === null) return pattern === piece;
  if (typeof piece !== "object" || piece === null) return false;
  return Object.keys(pattern).every((key) => POSITIONS.has(key) || matches(pattern[key], piece[key]));
}

/** A pattern: statements that follow one another, or an expression if the code does not end with ";" or "}". */
function patternOf(code) {
  const [{ body }] = parseAst(`class P extends Object { async *m() { for (;;) { ${code}\n } } }`).body;
  const { body: statements } = body.body[0].value.body.body[0].body;
  const [first] = statements;
  const isExpression = statements.length === 1 && first.type === "ExpressionStatement" && !/[;}]\s*$/.test(code);
  return { statements: isExpression ? null : statements, expression: isExpression ? first.expression : null };
}

/** The name that a node gives to a function or a class; undefined if it gives none. */
function nameGivenBy(node) {
  switch (node.type) {
    case "FunctionDeclaration":
    case "ClassDeclaration":
      return node.id?.name;
    case "MethodDefinition":
    case "PropertyDefinition":
    case "Property":
      return node.key.type === "PrivateIdentifier" ? `#${node.key.name}` : node.key.name;
    case "VariableDeclarator":
      return node.id.name;
    case "AssignmentExpression":
      return node.left.name;
    default:
      return undefined;
  }
}

/** Calls `visit` for every node. */
function walk(node, visit) {
  visit(node);
  for (const child of childrenOf(node)) walk(child, visit);
}

/** The nodes that a path of names leads to: `Endpoint.#remove` is what is called `#remove` in what is called `Endpoint`. */
function named(tree, path) {
  let found = [tree];
  for (const name of path.split(".")) {
    const next = new Set();
    for (const root of found) walk(root, (node) => node !== root && nameGivenBy(node) === name && next.add(node));
    found = [...next];
  }
  return found;
}

/** The ranges of a tree that have the form of a pattern. */
function rangesOf(root, { statements, expression }) {
  const ranges = [];
  walk(root, (node) => {
    if (expression !== null) {
      if (matches(expression, node)) ranges.push([node.start, node.end]);
      return;
    }
    const lists = Object.values(node).map((value) => (Array.isArray(value) ? value : isNode(value) ? [value] : []));
    for (const list of lists) {
      for (let i = 0; i + statements.length <= list.length; i++) {
        const run = list.slice(i, i + statements.length);
        if (matches(statements, run)) ranges.push([run[0].start, run.at(-1).end]);
      }
    }
  });
  return ranges;
}

/**
 * Replaces a piece of JavaScript.
 *
 * @param within a path of names of classes, functions and methods, such as `Endpoint.#remove`
 * @param find the piece: statements, or an expression; `_` in it stands for any expression or statement
 * @param replacement what is put there; `$&` is the piece itself
 * @returns the changed text
 * @throws Error when there is not exactly one such piece, or the result is no JavaScript
 */
export function replaceInTree(text, within, find, replacement) {
  const tree = parseAst(text);
  const roots = named(tree, within);
  if (roots.length === 0) throw new Error(`nothing is called ${within}`);
  const pattern = patternOf(find);
  const ranges = new Map(roots.flatMap((root) => rangesOf(root, pattern)).map((range) => [range.join(), range]));
  if (ranges.size !== 1) throw new Error(`${ranges.size} places in ${within} for: ${find}`);
  const [[start, end]] = ranges.values();
  const piece = text.slice(start, end);
  const put = replacement.replaceAll("$&", () => piece);
  // A statement stays one: it may be the only one after an "if".
  const changed = text.slice(0, start) + (put === "" && pattern.statements !== null ? ";" : put) + text.slice(end);
  parseAst(changed);
  return changed;
}
