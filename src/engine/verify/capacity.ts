import type { ProofState } from '../../formats/store/catalog/proof-result.ts';
import type { CapacityLimit, CapacityStep } from '../../formats/store/service/capacity.ts';
import { SessionError } from '../../sessions/state/session-error.ts';

/*
 * How many machines this box carries at once: clones of a recovery point are booted, more each time, until they no
 * longer come up as they should. What a clone is, and how it is booted, is not known here.
 */

/** What a clone showed. */
export interface CloneBoot {
  readonly isUp: boolean;
  readonly state: ProofState;
  /** Until it was up, or was given up. */
  readonly bootMs: number;
  readonly readBytes: number;
}

export interface CapacityOptions {
  /** The most clones for which there is memory. */
  readonly room: number;
  /** The most that are tried. */
  readonly most: number;
  /** Boots one; `onRead` is called with the duration of each of its reads, in milliseconds. */
  readonly boot: (onRead: (ms: number) => void) => Promise<CloneBoot>;
  readonly onStep: (step: CapacityStep) => void;
}

export interface Capacity {
  readonly carries: number;
  readonly limit: CapacityLimit;
  readonly steps: readonly CapacityStep[];
}

/** A person who waits for a machine does not take it for running any longer. */
const SLOWER_MAX = 3;
/** A guest whose disk answers this slowly seems to hang. */
const READ_P99_MAX_US = 100_000;
/** Some 100,000 reads make a boot; of more, every other one counts. */
const READS_MAX = 200_000;

/** Rejects UNSUPPORTED if one clone alone does not come up: that says nothing of this box. */
export async function measureCapacity(options: CapacityOptions): Promise<Capacity> {
  const { room, most, onStep } = options;
  const steps: CapacityStep[] = [];
  let carries = 0;
  for (;;) {
    const clones = Math.min(nextCount(carries), most, room);
    if (clones <= carries) {
      return { carries, limit: room < most ? 'memory' : 'asked', steps };
    }
    const { step, states } = await bootAtOnce(clones, options);
    if (carries === 0 && step.up === 0) throw comesNotUp(states);
    steps.push(step);
    onStep(step);
    const limit = limitOf(step, steps[0]!);
    if (limit) return { carries, limit, steps };
    carries = clones;
  }
}

/** 1, 2, 3, 4, 6, 9, 13 ...: a half more each time, as the limit is wanted within that. */
function nextCount(before: number): number {
  return Math.max(before + 1, Math.floor(before * 1.5));
}

function limitOf(step: CapacityStep, alone: CapacityStep): CapacityLimit | undefined {
  if (step.up < step.clones || step.bootMs > SLOWER_MAX * alone.bootMs) return 'boot';
  return step.readP99Us > READ_P99_MAX_US ? 'reads' : undefined;
}

function comesNotUp(states: readonly ProofState[]): SessionError {
  const what = `this machine does not come up here, even alone (${states.join(', ')}): nothing was measured`;
  const advice =
    'see why with "holdfast verify POINT", and measure with a recovery point that is proven';
  return new SessionError('UNSUPPORTED', `${what}, and a figure from before stays; ${advice}`);
}

interface BootedAtOnce {
  readonly step: CapacityStep;
  readonly states: readonly ProofState[];
}

async function bootAtOnce(clones: number, { boot }: CapacityOptions): Promise<BootedAtOnce> {
  const reads = sampled(READS_MAX);
  const booted = await Promise.all(Array.from({ length: clones }, () => boot(reads.add)));
  const step = {
    clones,
    up: booted.filter(({ isUp }) => isUp).length,
    bootMs: Math.round(Math.max(...booted.map(({ bootMs }) => bootMs))),
    readP99Us: Math.round(1000 * reads.percentile(0.99)),
    readBytes: booted.reduce((sum, { readBytes }) => sum + readBytes, 0),
  };
  return { step, states: booted.map(({ state }) => state) };
}

/** Durations in bounded memory: once it is full, every other one is left out, and so on. */
function sampled(max: number) {
  let kept: number[] = [];
  let every = 1;
  let seen = 0;
  return {
    add(ms: number): void {
      if (seen++ % every !== 0) return;
      kept.push(ms);
      if (kept.length < max) return;
      kept = kept.filter((_, at) => at % 2 === 0);
      every *= 2;
    },
    percentile(part: number): number {
      const sorted = kept.toSorted((a, b) => a - b);
      return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? 0;
    },
  };
}
