// Node's own require, even under a test runner whose require does not load ES modules.
module.exports = process.getBuiltinModule("node:module").createRequire(__filename)("unix-ancillary/usocket");
