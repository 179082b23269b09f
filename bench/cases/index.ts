/** Every case, in the order of the table. */

import type { Case } from "../case.ts";
import { codec } from "./codec.ts";
import { connections } from "./connections.ts";
import { pingPong } from "./ping-pong.ts";
import { roundTrip } from "./round-trip.ts";
import { start } from "./start.ts";
import { throughput } from "./throughput.ts";

export const cases: readonly Case[] = [roundTrip, pingPong, throughput, connections, codec, start];
