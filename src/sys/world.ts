import { type Clock, systemClock } from './base/clock.ts';
import type { FileSystem } from './files/file-system.ts';
import { type Random, systemRandom } from './base/random.ts';
import { realFileSystem } from './files/real-file-system.ts';

/** The effects that most rooms need, injected so that tests can replace them. */
export interface World {
  readonly files: FileSystem;
  readonly clock: Clock;
  readonly random: Random;
}

export function realWorld(): World {
  return { files: realFileSystem(), clock: systemClock(), random: systemRandom() };
}
