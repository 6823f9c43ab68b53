import { jobWork } from '../../src/engine/jobs/job-work.ts';
import { type ProofRuns, proofRuns } from '../../src/engine/verify/proof-runs.ts';
import type { JobDraft } from '../../src/jobs/job-book.ts';
import { systemClock } from '../../src/sys/base/clock.ts';

type Engine = Parameters<typeof jobWork>[0];
type Parts = Parameters<typeof jobWork>[1];

/** With room for any proof, and beside no recovery. */
export function roomyRuns(): ProofRuns {
  const budget = () => ({ memoryBytes: 2 ** 40, processors: 64 });
  return proofRuns({ clock: systemClock(), budget, recoveries: () => 0 });
}

/** The work of jobs, with room for any proof and no recovery. `ordered`: the jobs that follow. */
export function workOf(
  engine: Engine,
  parts: Pick<Parts, 'keys' | 'inWorker'>,
  ordered: JobDraft[] = [],
): ReturnType<typeof jobWork> {
  return jobWork(engine, {
    ...parts,
    runs: roomyRuns(),
    async submit(draft) {
      ordered.push(draft);
      return { id: draft.id } as never;
    },
  });
}
