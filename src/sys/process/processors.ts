import { availableParallelism } from 'node:os';

/** How many threads can run at once. */
export function processors(): number {
  return availableParallelism();
}
