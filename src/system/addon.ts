/** The only file that loads the addon, and its type. */

import { fs, resolve, url } from "./builtins.ts";
import type { AddonCalls, Constants } from "./system.ts";
import { target } from "./target.ts";

/** A call whose integers are in the request block. */
export type BlockCall = () => void;
type BlockCallWith<T> = (argument: T) => void;

/** The layout of control messages in the C headers, which is checked against the ABI table. */
export interface HeaderLayout {
  readonly pointerBytes: number;
  /** 1 if they are glibc's. */
  readonly glibc: number;
  readonly littleEndian: number;
  readonly headerBytes: number;
  readonly lengthOffset: number;
  readonly lengthBytes: number;
  readonly levelOffset: number;
  readonly typeOffset: number;
  readonly dataOffset: number;
  readonly space0: number;
  readonly space1: number;
  readonly space4: number;
  readonly sunPathBytes: number;
  readonly longPathBytes: number;
  readonly openMax: number;
}

/** What the addon's `open` returns. */
export interface Addon extends AddonCalls {
  readonly layout: HeaderLayout;
  readonly constants: Constants;
  bind(buffers: { words: ArrayBuffer; batch: ArrayBuffer; address: ArrayBuffer }): void;
  bindOwned(bits: ArrayBuffer): void;
  onOrphan(callback: () => void): void;
  takeOrphan(into: Uint8Array): ArrayBuffer | undefined;
  settleOrphan(): void;
  sendmsg: BlockCallWith<Uint8Array>;
  sendmsgv: BlockCallWith<readonly Uint8Array[]>;
  recvmsg: BlockCallWith<Uint8Array>;
  recvmsgv: BlockCallWith<readonly Uint8Array[]>;
  hasStack(): number;
  stackReached(): number;
  close: BlockCall;
  closeBatch: BlockCall;
  discardBatch: BlockCall;
  cloexecBatch: BlockCall;
  bindSocket(fd: number, path: Uint8Array, mode: number): number;
  setsockopt(fd: number, level: number, name: number, value: Uint8Array): number;
  onReady(callback: () => void, thread: number): void;
  watch(fd: number): number;
  anchor(): void;
}

/** In a module of CommonJS. */
declare const __filename: unknown;

/**
 * Where the package has its addons, as a text: webpack takes a `new URL(...)` for a file of the bundle, and has no such file. Tools that
 * trace the files of a program (@vercel/nft) find the folder in it.
 */
const PREBUILDS: string = `${import.meta.url}/../../prebuilds`;

/**
 * The file that this code is in: of the package, or a bundle. Some bundlers leave `import.meta` empty (esbuild, for CommonJS), and some
 * write the path of the machine that bundled into it (webpack): then CommonJS has a name for the file, or it is taken to be the program.
 */
function fileOfCode(): string | null {
  const names: unknown[] = [];
  const at: unknown = import.meta.url;
  if (typeof at === "string" && at.startsWith("file:")) names.push(url.fileURLToPath(at));
  try {
    // Where webpack makes an ES module, it says that this is a string, and it is not there. With `node -e` it is no path.
    names.push(__filename);
  } catch {
    // An ES module.
  }
  names.push(process.argv[1]);
  const isFile = (name: unknown): name is string =>
    typeof name === "string" && name.startsWith("/") && fs.existsSync(name);
  return names.find(isFile) ?? null;
}

/** Whether a file is the one that scripts/bundle.mjs makes. */
function isInPackage(file: string): boolean {
  return PREBUILDS.startsWith("file:") && file.endsWith("/dist/internal.js");
}

/** The addons of a file: those of the package, or those beside a bundle. */
function addonsOf(file: string): string[] {
  const folder = resolve(file, "..");
  return isInPackage(file)
    ? [
        resolve(folder, `../prebuilds/${target()}/unix-ancillary.node`),
        resolve(folder, "native/build/Release/unix_ancillary.node"),
      ]
    : [resolve(folder, `prebuilds/${target()}/unix-ancillary.node`), resolve(folder, "unix-ancillary.node")];
}

function open(path: string): Addon {
  const module = { exports: {} };
  // Like `require`, which takes 1 ms longer because it looks for packages.
  process.dlopen(module, path);
  return (module.exports as { open(): Addon }).open();
}

const reasonOf = (error: unknown): string => String((error as Error).message).split("\n")[0]!;

/**
 * Loads the addon: the one that UNIX_ANCILLARY_ADDON names; else the one of the package, or the one beside a bundle. If there is none,
 * the error lists the files that were tried, and what to do.
 */
export function loadAddon(): { addon: Addon; file: string } {
  const named = process.env.UNIX_ANCILLARY_ADDON || null;
  const code = named === null ? fileOfCode() : null;
  const failures: string[] = [];
  // dlopen(3) looks for a name without a slash in the folders of libraries.
  for (const file of named !== null ? [resolve(named)] : code === null ? [] : addonsOf(code)) {
    try {
      return { addon: open(file), file };
    } catch (error) {
      if ((error as { code?: string }).code === "ERR_DLOPEN_DISABLED") throw disabled(error);
      failures.push(`${file}: ${reasonOf(error)}`);
    }
  }
  if (named !== null)
    throw notFound(`unix-ancillary cannot load the addon that UNIX_ANCILLARY_ADDON names, ${failures[0]}.
Set it to an addon for ${target()}, or unset it: then the addon of the package is used.`);
  const tried = code === null ? "Nothing tells in which folder this bundle is." : ["Tried:", ...failures].join("\n  ");
  throw notFound(`unix-ancillary found no addon for ${target()} (Node ${process.versions.node}). ${tried}
What helps:
${
  code !== null && isInPackage(code)
    ? `  - an addon built here, with a C++ compiler, make and Python:
    npx --yes -p node-gyp -p node-addon-api@8 node-gyp rebuild -C ${resolve(code, "../native")}`
    : `  - a bundle carries no addon: mark unix-ancillary as external, so that it is not bundled
  - or copy the folder "prebuilds" of the package beside the bundle`
}
  - UNIX_ANCILLARY_ADDON set to the file of an addon; the folder "prebuilds" of the package has those of nine systems
  - unix-ancillary/core, the codec, which needs no addon`);
}

function notFound(message: string): Error {
  return Object.assign(new Error(message), { code: "ERR_ADDON_NOT_FOUND" });
}

/** Node refuses every addon: with its permission model, or with `--no-addons`. */
function disabled(cause: unknown): Error {
  const flag =
    process.permission === undefined
      ? "node must run without --no-addons"
      : "with --permission, node needs the flag --allow-addons too";
  const text = `unix-ancillary may not load its addon: ${flag}`;
  return Object.assign(new Error(text, { cause }), { code: "ERR_DLOPEN_DISABLED" });
}
