import { integer, list, object, oneOf, text } from '../../../lib/schema.ts';
import { plainRecord } from '../base/plain-record.ts';

// How many machines a box carried at once when that was measured. Grammar: capacity.md.

/** What ended the measurement. */
const CAPACITY_LIMITS = ['memory', 'boot', 'reads', 'asked'] as const;
export type CapacityLimit = (typeof CAPACITY_LIMITS)[number];

const STEPS_MAX = 64;
const count = integer(0, Number.MAX_SAFE_INTEGER);
const word = text({ max: 256 });

export const capacityFile = plainRecord('holdfast-capacity', {
  /** ISO 8601, UTC. */
  measured: word,
  release: word,
  /** The recovery point whose clones were booted. */
  ...{ set: word, machine: word, point: word },
  accelerator: oneOf('kvm', 'tcg'),
  /** The processors of the host, and the memory of each clone. */
  ...{ processors: integer(1, 65_536), memoryBytes: count },
  /** The most clones of which all came up in time; 0: not even one did. */
  carries: count,
  limit: oneOf(...CAPACITY_LIMITS),
  steps: list(
    object({
      clones: integer(1, 65_536),
      /** How many came up. */
      up: count,
      /** From the start of the first to when the last was up, or was given up. */
      bootMs: count,
      /** 99 of 100 reads of the guests took at most so long, in microseconds. */
      readP99Us: count,
      readBytes: count,
    }),
    STEPS_MAX,
  ),
});
export type CapacityRecord = ReturnType<typeof capacityFile.decode>;
export type CapacityStep = CapacityRecord['steps'][number];
