/** What a recipe is: how an operation is called with arguments that are right. */

import type { Trap } from "./arguments.ts";
import { type Kind, type MessageSocket, PAYLOAD, type World } from "./world.ts";

/** A call that is ready to be made. */
export interface Call {
  readonly run: () => unknown;
  /** Where it receives, when that is memory of the caller's. */
  readonly into?: readonly Uint8Array[];
}

/** How an operation is called with arguments that are right, each wrapped by the trap. */
export interface Recipe {
  readonly make: (world: World, trap: Trap) => Call;
  readonly kind: Kind;
  /** A message of its own is on its way to the peer when it succeeds, or is in its result. */
  readonly moves: "sends" | "receives" | null;
  /** Whether it can also be made when it has to wait. */
  readonly waits: boolean;
  /** The same code as of streams, mostly: tried in one style alone. */
  readonly brief: boolean;
  /** What it costs to call it: where that is a process, it is called less often. */
  readonly dear: boolean;
}

export const recipes: Map<string, Recipe[]> = new Map();

export function add(name: string, make: Recipe["make"], more: Partial<Recipe> = {}): void {
  const recipe: Recipe = { make, kind: "stream", moves: null, waits: false, brief: false, dear: false, ...more };
  recipes.set(name, [...(recipes.get(name) ?? []), recipe]);
}

export type Arguments = (world: World) => unknown[];

export const wrapAll = (trap: Trap, args: unknown[]): unknown[] => args.map((value, i) => trap.wrap(value, `#${i}`));

/** A method of what `on` makes. */
export const method =
  (on: (world: World) => object, name: string, args: Arguments): Recipe["make"] =>
  (world, trap) => {
    const receiver = on(world) as Record<string, (...args: unknown[]) => unknown>;
    const given = wrapAll(trap, args(world));
    return { run: () => receiver[name]!(...given) };
  };
/** A function, or a static method. */
export const plain =
  (call: (...args: never[]) => unknown, args: Arguments): Recipe["make"] =>
  (world, trap) => {
    const given = wrapAll(trap, args(world));
    return { run: () => call(...(given as never[])) };
  };

export const socketOf = (world: World): MessageSocket => world.socket ?? world.connected();
export const receiving = (world: World): MessageSocket => {
  if (world.socket !== null) return world.socket;
  const socket = world.connected();
  world.send();
  return socket;
};
export const payloads: readonly Arguments[] = [
  (world) => [world.bytes(PAYLOAD)],
  (world) => [[world.bytes("PAY"), world.bytes("LOAD")]],
];
