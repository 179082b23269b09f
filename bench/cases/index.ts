/** Every case, in the order of the table. */

import type { Case } from "../case.ts";
import { codec } from "./codec.ts";
import { connections } from "./connections.ts";
import { cost } from "./cost.ts";
import { datagrams } from "./datagrams.ts";
import { fairness } from "./fairness.ts";
import { frames } from "./frames.ts";
import { handOff } from "./hand-off.ts";
import { pingPong } from "./ping-pong.ts";
import { roundTrip } from "./round-trip.ts";
import { server } from "./server.ts";
import { start } from "./start.ts";
import { throughput } from "./throughput.ts";

export const cases: readonly Case[] = [
  roundTrip,
  pingPong,
  throughput,
  frames,
  datagrams,
  server,
  handOff,
  fairness,
  connections,
  cost,
  codec,
  start,
];
