import { MiB } from '../../lib/sizes.ts';
import type { Clock } from '../../sys/base/clock.ts';
import { memoryBytes } from '../../sys/process/memory.ts';
import { processors } from '../../sys/process/processors.ts';

/*
 * When a recovery point may be booted for a proof: several at once, within a budget of memory and processors, and
 * never beside a recovery. A proof can be repeated; a person who waits for a machine cannot. So a boot that is under
 * way when a recovery begins is ended, and begun again once no session runs.
 */

export interface ProofNeeds {
  readonly memoryBytes: number;
  readonly processors: number;
}

/** QEMU itself, and the process that serves its disks, besides the memory of the guest. */
export const OVERHEAD_BYTES = 512 * MiB;

/** What all boots together may use, where the settings do not say it. */
export function budgetOf({
  memory,
  processors: count,
}: {
  /** In MiB. */
  readonly memory: number | undefined;
  readonly processors: number | undefined;
}): ProofNeeds {
  return {
    memoryBytes: memory === undefined ? memoryBytes() / 2 : memory * MiB,
    processors: count ?? processors(),
  };
}

export interface ProofRuns {
  /** Rejects as `boot` does, or with the signal's reason. */
  run<T>(boot: (signal: AbortSignal) => Promise<T>, options: ProofRunOptions): Promise<T>;
}

export interface ProofRunOptions {
  readonly needs: ProofNeeds;
  readonly signal: AbortSignal;
  /** Called when it has to wait for recoveries. */
  readonly onWait: () => void;
}

export interface ProofRunsOptions {
  readonly clock: Clock;
  /** What all boots together may use now; one that needs more runs alone. */
  readonly budget: () => ProofNeeds;
  /** The number of recovery sessions that run. */
  readonly recoveries: () => number;
}

/** How often it is looked whether a recovery has begun, or there is room. */
const LOOK_MS = 1000;

/** A recovery has begun: no failure. */
class GivesWay extends Error {
  override readonly name = 'GivesWay';
}

export function proofRuns({ clock, budget, recoveries }: ProofRunsOptions): ProofRuns {
  const running = new Set<ProofNeeds>();
  /** In order: a large machine must not wait for ever for small ones. */
  const waiting: ProofNeeds[] = [];

  function fits(needs: ProofNeeds): boolean {
    if (waiting[0] !== needs || recoveries() > 0) return false;
    const all = budget();
    const sum = (of: (it: ProofNeeds) => number): number =>
      [...running].reduce((total, it) => total + of(it), of(needs));
    const isWithin =
      sum((it) => it.memoryBytes) <= all.memoryBytes &&
      sum((it) => it.processors) <= all.processors;
    return running.size === 0 || isWithin;
  }
  async function enter(
    needs: ProofNeeds,
    { signal, onWait }: Pick<ProofRunOptions, 'signal' | 'onWait'>,
  ): Promise<void> {
    waiting.push(needs);
    let isTold = false;
    try {
      while (!fits(needs)) {
        signal.throwIfAborted();
        if (recoveries() > 0 && !isTold) {
          isTold = true;
          onWait();
        }
        await clock.sleep(LOOK_MS, signal);
      }
      running.add(needs);
    } finally {
      waiting.splice(waiting.indexOf(needs), 1);
    }
  }
  /** Ends the boot when a recovery begins. */
  async function guarded<T>(
    boot: (signal: AbortSignal) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const way = new AbortController();
    const over = new AbortController();
    const watching = (async () => {
      while (!over.signal.aborted && recoveries() === 0) await clock.sleep(LOOK_MS, over.signal);
      if (!over.signal.aborted) way.abort(new GivesWay('a recovery has begun'));
    })().catch(() => {});
    try {
      return await boot(AbortSignal.any([signal, way.signal]));
    } catch (cause) {
      throw way.signal.aborted && !signal.aborted ? way.signal.reason : cause;
    } finally {
      over.abort();
      await watching;
    }
  }
  return {
    async run(boot, { needs: asked, signal, onWait }) {
      // An object of its own: two machines may need the same.
      const needs = { ...asked };
      for (;;) {
        await enter(needs, { signal, onWait });
        try {
          return await guarded(boot, signal);
        } catch (cause) {
          if (!(cause instanceof GivesWay)) throw cause;
        } finally {
          running.delete(needs);
        }
      }
    },
  };
}
