/**
 * Uint8Arrays, told by what they are. `instanceof` refuses those of another realm (an iframe, `node:vm`, jsdom), and takes objects
 * without memory. What a caller puts into a view or a subclass, or in the place of these functions, does not run.
 */

const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as Uint8Array;
const getter = (name: string | symbol): ((this: unknown) => never) =>
  Object.getOwnPropertyDescriptor(typedArray, name)!.get as (this: unknown) => never;

const nameOf: (value: unknown) => string | undefined = Function.prototype.call.bind(getter(Symbol.toStringTag));

/** True for Uint8Arrays of any realm, and false for a Proxy of one: the kernel and the core get the memory. */
export const isUint8Array = (value: unknown): value is Uint8Array => nameOf(value) === "Uint8Array";

/** Tells a Uint8Array from a list of them. Takes less time than {@link isUint8Array}, which the value has passed before. */
export const isView: typeof ArrayBuffer.isView = ArrayBuffer.isView;

/** `byteLength` of a Uint8Array; 0 when its memory is gone. */
export const byteLengthOf: (view: Uint8Array) => number = Function.prototype.call.bind(getter("byteLength"));
const bufferOf: (view: Uint8Array) => ArrayBuffer = Function.prototype.call.bind(getter("buffer"));
const byteOffsetOf: (view: Uint8Array) => number = Function.prototype.call.bind(getter("byteOffset"));

/** A Uint8Array of the same memory, without what the caller's has of its own. */
export function plainView(view: Uint8Array): Uint8Array {
  const bytes = byteLengthOf(view);
  return bytes === 0 ? new Uint8Array(0) : new Uint8Array(bufferOf(view), byteOffsetOf(view), bytes);
}

/** `into.set(bytes, offset)`. */
export const setBytes: (into: Uint8Array, bytes: Uint8Array, offset?: number) => void = Function.prototype.call.bind(
  typedArray.set,
);

interface BufferClass {
  from(text: string, encoding: "base64"): Uint8Array;
}

/** Node's Buffer, for hosts that have it. */
export const NodeBuffer: BufferClass | undefined = (globalThis as { Buffer?: BufferClass }).Buffer;

const { min } = Math;

/** `view.subarray(from, to)`, a Uint8Array even of a Buffer. */
export function partOf(view: Uint8Array, from: number, to: number): Uint8Array {
  const bytes = byteLengthOf(view);
  const end = min(to, bytes);
  return from < end ? new Uint8Array(bufferOf(view), byteOffsetOf(view) + from, end - from) : new Uint8Array(0);
}
