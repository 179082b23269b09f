// For node --import: the library uses the core.wasm that UNIX_ANCILLARY_CORE names instead of its own.

import { readFileSync } from "node:fs";
import { provideCoreModule } from "unix-ancillary/core";

provideCoreModule(new WebAssembly.Module(readFileSync(process.env.UNIX_ANCILLARY_CORE)));
