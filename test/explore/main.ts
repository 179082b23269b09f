/**
 * Explores: every single fault at every system call of every scenario on every system, every pair of faults of the short ones,
 * and random schedules from seeds. `scripts/explore.mjs` starts it, several at once.
 *
 * Arguments: `--part 0/2` (which of several explorers this is), `--schedules N` (at least so many in all parts together),
 * `--system NAME`, `--scenario PART-OF-NAME`, and for one run again: `--plan JSON`, `--seed N`, `--chance N`.
 */

import { parseArgs } from "node:util";
import { abis } from "unix-ancillary/core";
import { uncalled } from "./coverage.ts";
import { faultsOf, type Plan, type PlannedFault, type Scenario, World } from "./harness.ts";
import { scenarios } from "./scenarios.ts";

/** Ends the program: its command line is wrong. */
function refuse(message: string): never {
  console.error(message);
  process.exit(2);
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        part: { type: "string", default: "0/1" },
        schedules: { type: "string", default: "1000000" },
        system: { type: "string" },
        scenario: { type: "string", default: "" },
        plan: { type: "string" },
        seed: { type: "string", default: "1" },
        chance: { type: "string", default: "0" },
      },
    });
    return values;
  } catch (error) {
    return refuse((error as Error).message);
  }
}

const values = readOptions();
for (const name of ["schedules", "seed", "chance"] as const) {
  if (!/^\d+$/.test(values[name])) refuse(`--${name} expected a whole number, got ${values[name]}`);
}

/** One row for each set of rules; a big-endian and a 32-bit layout among them. Linux is there twice: the newest, and the oldest. */
const SYSTEMS: readonly string[] = [
  "linux-x86_64-glibc",
  "linux-x86_64-glibc@5.10",
  "darwin-arm64",
  "freebsd-amd64",
  "openbsd-sparc64",
  "netbsd-i386",
  "dragonfly-x86_64",
  "illumos-amd64",
];

// Where an error was made is told when its run is made again.
if (values.plan === undefined) Error.stackTraceLimit = 0;

const [part, parts] = values.part.split("/").map(Number) as [number, number];
const systems = values.system === undefined ? SYSTEMS : [values.system];
if (!(systems[0]!.split("@")[0]! in abis))
  refuse(`--system expected a name of the ABI table, with or without "@" and a version, got ${values.system}`);
const chosen = scenarios.filter(({ name }) => name.includes(values.scenario));
if (chosen.length === 0) refuse(`no scenario's name contains ${values.scenario}`);
/** Calls up to which all pairs are tried. */
const PAIR_CALLS = 24;
/** Orders of events that every single fault is tried in. */
const SEEDS = 8;

const counts: Record<string, number> = {};
let mine = 0;

/** Runs one schedule if it is this part's; ends the program with how to see it again when it fails. */
async function explore(
  world: World,
  scenario: Scenario,
  system: string,
  plan: Plan,
  seed: number,
  chance = 0,
): Promise<void> {
  if (mine++ % parts !== part) return;
  counts[system] = (counts[system] ?? 0) + 1;
  try {
    await world.run(scenario, plan, seed, chance);
  } catch (error) {
    fail(error, scenario, system, plan, seed, chance);
  }
}

function fail(error: unknown, scenario: Scenario, system: string, plan: Plan, seed: number, chance: number): never {
  const again = `--system ${system} --scenario ${JSON.stringify(scenario.name)} --seed ${seed} --chance ${chance} --plan '${JSON.stringify([...plan])}'`;
  console.log(JSON.stringify({ failed: (error as Error).stack, scenario: scenario.name, system, again }));
  process.exit(1);
}

/** The calls that a scenario makes under a plan, by name. */
async function callsOf(world: World, scenario: Scenario, plan: Plan, seed: number): Promise<string[]> {
  const names: string[] = [];
  world.onCall = ({ name }) => names.push(name);
  try {
    await world.run(scenario, plan, seed);
  } catch (error) {
    fail(error, scenario, world.system, plan, seed, 0);
  } finally {
    world.onCall = null;
  }
  return names;
}

if (values.plan !== undefined) {
  const world = new World(systems[0]!, chosen[0]!.descriptors);
  const plan = new Map(JSON.parse(values.plan) as [number, PlannedFault][]);
  await explore(world, chosen[0]!, systems[0]!, plan, Number(values.seed), Number(values.chance));
  console.log("nothing found");
  process.exit(0);
}

const wanted = Number(values.schedules);
const worldOf = new Map(
  systems.map((system) => {
    const usual = new World(system);
    const worlds = new Map(
      chosen.map((scenario) => {
        const { descriptors } = scenario;
        return [scenario, descriptors === undefined ? usual : new World(system, descriptors)];
      }),
    );
    return [system, worlds];
  }),
);
// A method that no scenario calls is not explored.
if (part === 0 && chosen.length === scenarios.length && systems === SYSTEMS) {
  const missing = await uncalled(async () => {
    for (const scenario of scenarios) {
      for (const system of systems) {
        if (scenario.systems?.test(system) === false) continue;
        const plan: Plan = new Map();
        try {
          await worldOf.get(system)!.get(scenario)!.run(scenario, plan, 1);
        } catch (error) {
          fail(error, scenario, system, plan, 1, 0);
        }
      }
    }
  });
  if (missing.length > 0) {
    console.log(JSON.stringify({ failed: `no scenario calls ${missing.join(", ")}` }));
    process.exit(1);
  }
}

for (const system of systems) {
  for (const scenario of chosen) {
    if (scenario.systems?.test(system) === false) continue;
    const world = worldOf.get(system)!.get(scenario)!;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const first = await callsOf(world, scenario, new Map(), seed);
      for (const [i, name] of first.entries()) {
        for (const fault of faultsOf(name, scenario)) {
          const plan = new Map([[i, fault]]);
          await explore(world, scenario, system, plan, seed);
          if (seed > 1 || first.length > PAIR_CALLS) continue;
          const second = await callsOf(world, scenario, plan, seed);
          for (let j = i + 1; j < second.length; j++) {
            for (const other of faultsOf(second[j]!, scenario)) {
              const both = new Map([
                [i, fault],
                [j, other],
              ]);
              await explore(world, scenario, system, both, seed);
            }
          }
        }
      }
    }
  }
}

// Random schedules, to the number that is wanted: each system and scenario in turn.
for (let seed = SEEDS + 1; mine < wanted; seed++) {
  for (const system of systems) {
    for (const scenario of chosen) {
      if (scenario.systems?.test(system) === false) continue;
      // From one fault in four calls to one in sixty-four.
      const world = worldOf.get(system)!.get(scenario)!;
      await explore(world, scenario, system, new Map(), seed, 1 << (2 + (seed % 5)));
    }
  }
}
console.log(JSON.stringify({ counts, schedules: Object.values(counts).reduce((sum, count) => sum + count, 0) }));
process.exit(0);
