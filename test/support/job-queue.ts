import type { JobKind, JobRecord } from '../../src/formats/store/service/job.ts';
import { openJobFiles } from '../../src/jobs/job-files.ts';
import type { Outcome } from '../../src/jobs/job-state.ts';
import { type AttemptOptions, openQueue } from '../../src/jobs/queue.ts';
import type { CrashingFs } from './crashing-fs.ts';
import { fakeClock } from './fake-clock.ts';
import { trustingMemory } from './box-memory.ts';
import { simulatedWorld } from './store.ts';

type Attempt = (job: JobRecord, options: AttemptOptions) => Promise<Outcome>;

/** A queue on a disk in memory and a clock that is told when to go on. */
export async function opened(
  disk: Pick<CrashingFs, 'files'>,
  attempt: Attempt,
  start = '2026-11-21T12:00:00Z',
) {
  const clock = fakeClock(start);
  const world = { ...simulatedWorld(disk.files), clock };
  await world.files.makeDirectory('/store');
  await world.files.syncDirectory('/');
  const files = await openJobFiles(world.files, '/store', { memory: trustingMemory() });
  const troubles: string[] = [];
  const onTrouble = (message: string): void => void troubles.push(message);
  const laneOf = (kind: JobKind): string => (kind === 'check' ? 'check' : 'write');
  const states: string[] = [];
  const onChange = (job: JobRecord): void => void states.push(job.state);
  const queue = await openQueue({ world, files, attempt, laneOf, onChange, onTrouble });
  return { clock, world, files, queue, troubles, states, onTrouble, onMissed: onTrouble };
}
