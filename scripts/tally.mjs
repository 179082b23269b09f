// The options of a lane, and a tally that ends with "N passed, N failed". In the published package too, for the audit.

import { parseArgs } from "node:util";

/** Ends the script because of an invalid command line. */
export function refuse(message) {
  console.error(message);
  process.exit(2);
}

/**
 * Reads the command line as `util.parseArgs` does. An unknown option ends the script with exit code 2, as does any other argument
 * where none are taken.
 *
 * @param known the options; `allowPositionals`: whether other arguments are taken
 * @returns the options by name, and `positionals`
 */
export function readOptions(known, { allowPositionals = false } = {}) {
  try {
    const { values, positionals } = parseArgs({ options: known, allowPositionals });
    return { ...values, positionals };
  } catch (error) {
    return refuse(error.message);
  }
}

/** Counts and prints results. */
export class Tally {
  passed = 0;
  failed = 0;
  skipped = 0;
  #skipsMissing;

  /** @param options those of the command line; `skip-missing`: whether what cannot be tried is skipped */
  constructor({ "skip-missing": skipsMissing = false } = {}) {
    this.#skipsMissing = skipsMissing;
  }

  /** Prints a result, and the detail of a failure. `passed` and `failed`: how much it adds to each count, 1 by default. */
  result(good, what, detail = "", { passed = good ? 1 : 0, failed = good ? 0 : 1 } = {}) {
    console.log(`${good ? "ok  " : "FAIL"}  ${what}`);
    if (!good && detail !== "") console.log(detail);
    this.passed += passed;
    this.failed += failed;
  }

  /** Records what cannot be tried here, and why. A failure, unless the command line asks to skip it. */
  missing(what, why) {
    console.log(`${this.#skipsMissing ? "SKIPPED" : "FAIL"}  ${what}: ${why}`);
    if (this.#skipsMissing) this.skipped++;
    else this.failed++;
  }

  /** Prints the last line and ends the script, with 1 when something failed or nothing was tried. */
  end() {
    if (this.passed + this.failed + this.skipped === 0) this.result(false, "nothing was tried");
    const skipped = this.skipped > 0 ? `, ${this.skipped} skipped` : "";
    console.log(`${this.passed} passed, ${this.failed} failed${skipped}`);
    process.exit(this.failed === 0 ? 0 : 1);
  }
}
