/**
 * fast-check with a seed. The same tests run each time, so that a failure is one of the change that is tested. `npm test` with
 * `UNIX_ANCILLARY_SEED=random`, or a number, runs others.
 */

import fc from "fast-check";

const { UNIX_ANCILLARY_SEED: seed = "1" } = process.env;
if (seed !== "random") fc.configureGlobal({ seed: Number(seed) });

export { fc };
