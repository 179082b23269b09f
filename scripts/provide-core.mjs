// node --import: the library runs with the core named by UNIX_ANCILLARY_CORE instead of its own.

import { readFileSync } from "node:fs";
import { provideCoreModule } from "unix-ancillary/core";

provideCoreModule(new WebAssembly.Module(readFileSync(process.env.UNIX_ANCILLARY_CORE)));
