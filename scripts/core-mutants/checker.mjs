// The thread of checking.mjs. It is ended from outside when a mutant loops for ever.

import { parentPort } from "node:worker_threads";
import { CHECKS } from "../../build/test/core/module-bounds.js";

/** What notices a module, and what it says; `by` is null when nothing does. */
function noticed(wasm) {
  let module;
  try {
    module = new WebAssembly.Module(wasm);
  } catch (error) {
    return { by: "the engine", said: error.message };
  }
  let broken;
  /** Without room for another memory nothing is known about the module. */
  function make() {
    try {
      return new WebAssembly.Instance(module).exports;
    } catch (error) {
      broken = error.message;
      throw error;
    }
  }
  for (const [name, check] of Object.entries(CHECKS)) {
    parentPort.postMessage({ begins: name });
    try {
      check(make);
    } catch (error) {
      return broken === undefined ? { by: name, said: error.message.split("\n")[0] } : { broken };
    }
  }
  return { by: null };
}

parentPort.on("message", ({ wasm }) => parentPort.postMessage(noticed(wasm)));
