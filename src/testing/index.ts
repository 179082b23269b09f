/** The public list of `unix-ancillary/testing`. */

export { controlBuffers, type GeneratedControl, type GeneratorOptions } from "./generators.ts";
export {
  type Call,
  type Fault,
  type KernelOptions,
  type ProcessOptions,
  VirtualKernel,
  VirtualProcess,
} from "./kernel.ts";
export type { ErrnoName } from "./rules.ts";
