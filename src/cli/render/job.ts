import { formatSize } from '../../lib/sizes.ts';
import type { JobSummary } from '../../operations/nouns/job.ts';
import type { CheckResult } from '../../operations/nouns/store.ts';
import { table } from '../base/output.ts';
import { JobFailed } from '../base/command-errors.ts';
import type { Renders } from './render.ts';

export const render = {
  'job/list': ({ jobs }) =>
    table(
      ['JOB', 'STATE', 'CREATED', ''],
      jobs.map(({ job, state, created, reason, progress, adopted }) => [
        job,
        adopted ? state : 'not adopted',
        created,
        progress ? progressText(progress) : (reason ?? ''),
      ]),
    ),
  'job/show': jobText,
  'job/log': ({ lines }) => lines.map(({ time, message }) => `${time}  ${message}`).join('\n'),
  'job/attend': {
    text: jobText,
    failure: ({ job, state }) =>
      state === 'done'
        ? undefined
        : new JobFailed(`job ${job} ${state === 'failed' ? 'has failed' : 'was canceled'}`),
  },
  'job/cancel': ({ job, state }) => `Job ${job} is ${state === 'running' ? 'ending' : state}.`,
  'schedule/list': ({ schedules }) =>
    table(
      ['SCHEDULE', 'KIND', 'AT', 'NEXT', 'LAST'],
      schedules.map(({ schedule, kind, at, next, paused, last, adopted }) => [
        schedule,
        kind,
        at,
        adopted ? (next ?? (paused === null ? 'never' : 'paused')) : 'not adopted',
        last === null ? '-' : `${last.state} ${last.ended}`,
      ]),
    ),
} satisfies Renders;

function jobText(summary: JobSummary): string {
  const { job, kind, state, schedule, created, started, ended, reason, notBefore } = summary;
  const { result, progress } = summary;
  const known: readonly (readonly [string, string | null])[] = [
    ['job', job],
    ['kind', kind],
    ['state', `${state}${reason === null ? '' : `: ${reason}`}`],
    ['again at', notBefore],
    ['schedule', schedule],
    ['created', created],
    ['started', started],
    ['ended', ended],
    ['progress', progress && progressText(progress)],
    ['point', typeof result?.['point'] === 'string' ? result['point'] : null],
    ['in', typeof result?.['to'] === 'string' ? result['to'] : null],
  ];
  return [
    ...known
      .filter(([, value]) => value !== null)
      .map(([name, value]) => `${name.padEnd(9)} ${value}`),
    ...problemsOf(result).map(({ where, what }) => `DAMAGED ${where}: ${what}`),
  ].join('\n');
}

/** What a check found. */
function problemsOf(result: JobSummary['result']): CheckResult['problems'] {
  const problems = result?.['problems'];
  return Array.isArray(problems) ? (problems as CheckResult['problems']) : [];
}

function progressText({ phase, position, total }: NonNullable<JobSummary['progress']>): string {
  const percent = total > 0 ? Math.floor((100 * position) / total) : 100;
  return `${phase} ${percent} % of ${formatSize(total)}`;
}
