#!/usr/bin/env node
// Refuses to publish what the page of the package on npm could not show: there, relative links lead to `repository`, and provenance is
// checked against it. CONTRIBUTING.md, Publishing, says what a publisher fills in.

import { readFileSync } from "node:fs";
import { readOptions } from "./lane.mjs";

readOptions({});

const FIELDS = ["repository", "homepage", "bugs", "author"];
const given = JSON.parse(readFileSync("package.json", "utf8"));
const missing = FIELDS.filter((name) => given[name] === undefined);
if (missing.length > 0) {
  console.error(`package.json has no ${missing.join(", ")}: see Publishing in CONTRIBUTING.md`);
  process.exit(1);
}
