/** The public exports of `unix-ancillary/handoff`. */

export { HandOffError, handOff, handOffUpgrade, takeConnections } from "./hand-off.ts";
