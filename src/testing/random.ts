/** Numbers from a seed, the same on every machine. */

/** A function that returns whole numbers below a bound: the high bits of a linear congruential generator. */
export function generator(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
