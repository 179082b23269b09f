/** Numbers that follow from a seed, the same on every machine. */

/** Whole numbers below a bound: a linear congruential generator, whose high bits are used. */
export function generator(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
