/** The public list of `unix-ancillary/testing`. */

export { controlBuffers, type GeneratedControl, type GeneratorOptions } from "./generators.ts";
