/**
 * Where the library stands beside the limit: a C program that makes the same system calls. Both take turns in one run.
 *
 * `npm run bench` ... 200,000 round trips; `-- --quick`: a tenth of them.
 */

import { closeSync, openSync } from "node:fs";
import { UnixStream } from "unix-ancillary";
import { compile, Rival } from "./rival.ts";
import { show, spread } from "./statistics.ts";

const quick = process.argv.includes("--quick");
const TURNS = 20;
const ROUNDS = (quick ? 20_000 : 200_000) / TURNS;

const file = openSync("/dev/null", "r");
const [left, right] = UnixStream.pair();
const data = Buffer.alloc(64);

/** The public API as a user would write it: an OwnedFd comes, and is closed. */
function roundTrips(rounds: number): number {
  const start = process.hrtime.bigint();
  for (let i = 0; i < rounds; i++) {
    left.sendFdsSync(data, [file]);
    const { fds } = right.recvFdsSync(1);
    fds[0]!.close();
  }
  return Number(process.hrtime.bigint() - start) / rounds;
}

const c = new Rival(compile("round-trip"));
// Both are warm before the first turn counts.
roundTrips(20_000);
await c.measure(20_000, 1);

const ours: number[] = [];
const theirs: number[] = [];
for (let turn = 0; turn < TURNS; turn++) {
  theirs.push(await c.measure(ROUNDS, 1));
  ours.push(roundTrips(ROUNDS));
}
c.close();
left.close();
right.close();
closeSync(file);

const ratios = ours.map((ns, turn) => ns / theirs[turn]!);
console.log(
  `${(TURNS * ROUNDS).toLocaleString("en")} sync round trips, 64 bytes, one descriptor, closed on receipt; ns, median (quartiles)`,
);
console.log(`  C               ${spread(theirs).median.toFixed(0)}`);
console.log(`  unix-ancillary  ${spread(ours).median.toFixed(0)}`);
console.log(`  ratio           ${show(spread(ratios))}`);
