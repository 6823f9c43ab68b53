/**
 * The times of events, some of which were recorded while a clock was wrong: given and returned in the order of the
 * events, as numbers that never fall. The longest run of times that never fall is believed; any other event gets the
 * time of the believed one before it (or of the first one, where none is before it).
 *
 *  steadyTimes([2026, 2036, 2027, 2016, 2028]) // [2026, 2026, 2027, 2027, 2028]
 *
 * The largest time so far would not do: one event from 2036 would give its time to all those of the next ten years.
 */
export function steadyTimes(told: readonly number[]): number[] {
  const believed = longestRun(told);
  const times: number[] = [];
  let next = 0;
  for (let at = 0; at < told.length; at++) {
    if (believed[next + 1] !== undefined && believed[next + 1]! <= at) next++;
    times.push(told[believed[next]!]!);
  }
  return times;
}

/** Indexes of the longest run that never falls; of several, the one with the smallest last number. */
function longestRun(numbers: readonly number[]): number[] {
  // ends[n]: index of the smallest number that ends a run of n + 1 numbers; before[i]: the index before i in its run.
  const ends: number[] = [];
  const before: (number | undefined)[] = [];
  for (const [at, number] of numbers.entries()) {
    let low = 0;
    for (let high = ends.length; low < high; ) {
      const middle = (low + high) >>> 1;
      if (numbers[ends[middle]!]! <= number) low = middle + 1;
      else high = middle;
    }
    before.push(ends[low - 1]);
    ends[low] = at;
  }
  const run: number[] = [];
  for (let at = ends.at(-1); at !== undefined; at = before[at]) run.push(at);
  return run.toReversed();
}
