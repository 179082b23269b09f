// Runs the checks with modules, in a thread of their own (checker.mjs).

import { Worker } from "node:worker_threads";

/**
 * How long one check may take, in milliseconds of the processor: the machine may be busy. Most take less than a tenth of a second; a
 * mutant may loop for ever.
 */
const TIMEOUT_MS = 3_000;

/** The time of the processor that this process has used. */
function used() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

export class Checking {
  #worker = null;

  /**
   * @returns `by`: the check that notices the module, or null; `said`: what it says
   * @throws Error when the checks themselves cannot run
   */
  run(wasm) {
    this.#worker ??= new Worker(new URL("checker.mjs", import.meta.url));
    const worker = this.#worker;
    return new Promise((resolve, reject) => {
      let running = "";
      let timer;
      let began = used();
      const end = (settle, value) => {
        clearInterval(timer);
        for (const event of ["error", "message"]) worker.removeAllListeners(event);
        settle(value);
      };
      timer = setInterval(() => {
        if (used() - began < TIMEOUT_MS) return;
        this.end();
        end(resolve, { by: running, said: `it does not end in ${TIMEOUT_MS / 1000} s` });
      }, 100);
      worker.on("error", (error) => end(reject, error));
      worker.on("message", ({ begins, broken, ...result }) => {
        if (broken !== undefined) end(reject, new Error(broken));
        else if (begins === undefined) end(resolve, result);
        else {
          running = begins;
          began = used();
        }
      });
      worker.postMessage({ wasm });
    });
  }

  end() {
    this.#worker?.terminate();
    this.#worker = null;
  }
}
