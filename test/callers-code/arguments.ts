/** Arguments that run code of the caller's when they are read. */

import { Server, Socket } from "node:net";

/**
 * How arguments are made: properties and elements with getters; inherited getters and subclasses of arrays; proxies; or, a number,
 * one value replaced by an object of another kind. `"plain"`: as they are.
 */
export type Style = "plain" | "getters" | "inherited" | "proxies" | number;

/** A descriptor of the caller's own kind. */
export class Lent {
  readonly #owner: { readonly fd: number };
  constructor(owner: { readonly fd: number }) {
    this.#owner = owner;
  }
  get fd(): number {
    return this.#owner.fd;
  }
}

/** What the library may ask of these, where an instance can have its own answer. */
const OWN: readonly (readonly [new (...args: never[]) => object, readonly string[]])[] = [
  [AbortSignal, ["aborted", "reason", "addEventListener", "removeEventListener", "throwIfAborted"]],
  [Uint8Array, ["length", "byteLength", "byteOffset", "buffer", "subarray", "slice", "set", "constructor"]],
  [Socket, ["bytesRead", "readableLength", "writableLength", "destroy"]],
  [Server, ["address", "close"]],
];

type Loose = Record<PropertyKey, unknown>;

/** Wraps arguments, and runs the caller's code each time that one of them is read. */
export class Trap {
  readonly style: Style;
  /** Where the caller's code ran, in order. */
  readonly hits: string[] = [];
  /** Values that the style of one replaced value can choose from. */
  leaves = 0;
  readonly #act: (hit: number) => void;

  constructor(style: Style, act: (hit: number) => void) {
    this.style = style;
    this.#act = act;
  }

  #hit(where: string): void {
    this.hits.push(where);
    this.#act(this.hits.length);
  }

  wrap<T>(value: T, where: string): T {
    return this.#wrap(value, where) as T;
  }

  #wrap(value: unknown, where: string): unknown {
    const { style } = this;
    if (style === "plain") return value;
    if (Array.isArray(value)) return this.#list(value, where);
    if (typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype)
      return this.#object(value as Loose, where);
    if (typeof style === "number") return this.leaves++ === style ? this.#strange(value, where) : value;
    if (typeof value === "function") {
      return (...args: unknown[]) => {
        this.#hit(`${where}()`);
        return value(...args);
      };
    }
    if (value instanceof Lent) {
      if (style === "proxies") return this.#proxy(value, where);
      return this.#object({ fd: value }, where, () => value.fd);
    }
    if (style === "proxies" && value instanceof AbortSignal) return this.#proxy(value, where);
    for (const [kind, names] of OWN) if (value instanceof kind) this.#own(value, where, names);
    return value;
  }

  /** An instance with getters of its own. */
  #own(value: object, where: string, names: readonly string[]): void {
    const plain = Object.getPrototypeOf(value);
    for (const name of names) {
      const was = Object.getOwnPropertyDescriptor(value, name);
      const get = () => {
        this.#hit(`${where}.${name}`);
        return was === undefined ? Reflect.get(plain, name, value) : was.value;
      };
      const set = (to: unknown) => {
        if (was !== undefined) was.value = to;
      };
      Object.defineProperty(value, name, { get, set, configurable: true });
    }
  }

  #object(value: Loose, where: string, read?: () => unknown): object {
    const made: object = {};
    for (const name of Object.keys(value)) {
      const part = read === undefined ? this.#wrap(value[name], `${where}.${name}`) : undefined;
      const get = () => {
        this.#hit(`${where}.${name}`);
        return read === undefined ? part : read();
      };
      const accessor = { get, enumerable: true, configurable: true };
      const plain = { value: part, enumerable: true, configurable: true };
      const getter = this.style === "getters" || this.style === "inherited";
      Object.defineProperty(made, name, getter ? accessor : plain);
    }
    if (this.style === "proxies") return this.#proxy(made, where);
    return this.style === "inherited" ? Object.create(made) : made;
  }

  #list(value: readonly unknown[], where: string): unknown[] {
    const parts = value.map((part, i) => this.#wrap(part, `${where}[${i}]`));
    if (this.style === "proxies") return this.#proxy(parts, where);
    if (this.style === "inherited") return this.#subclass(parts, where);
    if (this.style !== "getters") return parts;
    const list: unknown[] = [];
    for (const [i, part] of parts.entries()) {
      const get = () => {
        this.#hit(`${where}[${i}]`);
        return part;
      };
      Object.defineProperty(list, i, { get, enumerable: true, configurable: true });
    }
    return list;
  }

  /** A list whose methods are the caller's, and those of its copies. */
  #subclass(parts: readonly unknown[], where: string): unknown[] {
    class Mine extends Array<unknown> {}
    for (const name of Reflect.ownKeys(Array.prototype)) {
      const method = (Array.prototype as unknown as Loose)[name];
      if (name === "constructor" || typeof method !== "function") continue;
      const hit = () => this.#hit(`${where}.${String(name)}`);
      const value = function (this: unknown[], ...args: unknown[]): unknown {
        hit();
        return method.apply(this, args);
      };
      Object.defineProperty(Mine.prototype, name, { value, configurable: true, writable: true });
    }
    const list = new Mine(parts.length);
    parts.forEach((part, i) => {
      list[i] = part;
    });
    return list;
  }

  /** Answers as its target does; methods run on the target. */
  #proxy<T extends object>(target: T, where: string): T {
    return new Proxy(target, {
      get: (of, name) => {
        this.#hit(`${where}.${String(name)}`);
        const value = Reflect.get(of, name, of);
        // Those of a list see the proxy, as they would anyway: each element is read by it.
        return typeof value === "function" && name !== "constructor" && !Array.isArray(of) ? value.bind(of) : value;
      },
      has: (of, name) => {
        this.#hit(`${String(name)} in ${where}`);
        return Reflect.has(of, name);
      },
      ownKeys: (of) => {
        this.#hit(`keys of ${where}`);
        return Reflect.ownKeys(of);
      },
      getOwnPropertyDescriptor: (of, name) => {
        this.#hit(`descriptor of ${where}.${String(name)}`);
        return Reflect.getOwnPropertyDescriptor(of, name);
      },
      getPrototypeOf: (of) => {
        this.#hit(`prototype of ${where}`);
        return Reflect.getPrototypeOf(of);
      },
    });
  }

  /** Something else in the place of a value: it can be converted to the value, and says so by running code. */
  #strange(value: unknown, where: string): unknown {
    if (typeof value === "object" && value !== null) return this.#proxy(value, where);
    const convert = () => value;
    return this.#proxy({ valueOf: convert, toString: convert, toJSON: convert, [Symbol.toPrimitive]: convert }, where);
  }
}
