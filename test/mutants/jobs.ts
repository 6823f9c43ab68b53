import type { Mutant } from './mutant.ts';

const QUEUE = 'test/jobs/queue.test.ts';
const SCHEDULES = 'test/jobs/schedules.test.ts';

export const jobs: readonly Mutant[] = [
  {
    name: 'jobs: one that took the service with it is begun at once, for ever',
    file: 'src/jobs/job-state.ts',
    text: 'Math.max(0, deaths - DEATHS_AT_ONCE) * DEATH_DELAY_MS',
    to: '0 * DEATHS_AT_ONCE * DEATH_DELAY_MS',
    tests: ['test/jobs/job-state.test.ts'],
  },
  {
    name: 'jobs: one that was to end runs again after a restart',
    file: 'src/jobs/job-state.ts',
    text: "if (job.canceling === true) return ended(job, { kind: 'canceled' }, now);",
    to: '',
    tests: ['test/jobs/job-state.test.ts'],
  },
  {
    name: 'jobs: two of a lane run side by side',
    file: 'src/jobs/queue.ts',
    text: 'if ([...active.values()].some((it) => it.lane === lane)) continue;',
    to: '',
    tests: [QUEUE],
  },
  {
    name: 'jobs: one that was refused runs after the next start',
    file: 'src/jobs/job-book.ts',
    text: '          await files.removeJob(job.id).catch(() => {});\n',
    to: '',
    tests: ['test/jobs/job-records.test.ts'],
  },
  {
    name: 'schedules: one makes a job while its last one runs',
    file: 'src/jobs/schedules.ts',
    text: 'if (activeJobOf(queue, name))',
    to: 'if (false)',
    tests: [SCHEDULES],
  },
  {
    name: 'schedules: a clock that was ahead keeps them silent',
    file: 'src/jobs/schedules.ts',
    text: 'const schedule = notAhead(noted);',
    to: 'const schedule = noted;',
    tests: [SCHEDULES],
  },
  {
    name: 'schedules: all that came due is made up for, one job each',
    file: 'src/jobs/schedules.ts',
    text: 'const next = { ...schedule, last: clock.now().toISOString() };',
    to: 'const next = { ...schedule, last: due.toISOString() };',
    tests: [SCHEDULES],
  },
  {
    name: 'jobs: a restore writes over what an earlier attempt may have made',
    file: 'src/engine/jobs/job-work.ts',
    text: 'if (!isFirst && !overwrite &&',
    to: 'if (false && !overwrite &&',
    tests: ['test/engine/jobs/job-work.test.ts'],
  },
  {
    name: 'jobs: a record that cannot be read ends an upgrade half-way',
    file: 'src/jobs/job-files.ts',
    text: 'if (cause instanceof FormatError || cause instanceof SystemError) return undefined;',
    to: 'if (cause instanceof FormatError) return undefined;',
    tests: ['test/jobs/job-records.test.ts'],
  },
];
