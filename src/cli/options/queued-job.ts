import type { RequestOf } from '../../operations/operations.ts';
import type { CheckResult, JobSummary } from '../../operations/results.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { Context } from '../base/command.ts';

/** Of commands that the service can carry out in the background. */
export const QUEUE_OPTION = { queue: { type: 'boolean' } } as const;
export const QUEUE_DETAILS = [
  '--queue            as a job of the service: failures are retried, also after a restart; a key that is given',
  '                   is kept in memory until it has ended',
] as const;

export async function queueJob(
  request: RequestOf<'job/create'>,
  { call, output }: Context,
): Promise<void> {
  const made = await call('job/create', request);
  const advice = `to wait for its end: holdfast job attend ${made.job}`;
  output.result(made, () => `Job ${made.job} is ${made.state}; ${advice}`);
}

export function jobText(summary: JobSummary): string {
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

export function progressText({
  phase,
  position,
  total,
}: NonNullable<JobSummary['progress']>): string {
  const percent = total > 0 ? Math.floor((100 * position) / total) : 100;
  return `${phase} ${percent} % of ${formatSize(total)}`;
}
