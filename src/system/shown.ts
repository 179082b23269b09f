/** What `console.log` shows of the objects of this library. */

import { util } from "./builtins.ts";

/** The method that `util.inspect` calls. */
const CUSTOM = Symbol.for("nodejs.util.inspect.custom");

/**
 * Makes `util.inspect`, and with it `console.log`, show what `fields` returns, for all objects with this prototype.
 *
 * @param fields null for an object that only inherits from the prototype
 */
export function showAs<T extends object>(prototype: T, fields: (self: T) => object | null): void {
  Object.defineProperty(prototype, CUSTOM, {
    configurable: true,
    writable: true,
    value(this: T, depth: number, options: object) {
      const shown = fields(this);
      // Without this method, as for the prototype itself.
      if (shown === null) return util.inspect(this, { ...options, customInspect: false });
      const { name } = this.constructor;
      return depth < 0 ? `[${name}]` : `${name} ${util.inspect(shown, options)}`;
    },
  });
}
