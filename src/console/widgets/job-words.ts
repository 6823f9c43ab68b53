import { formatSize } from '../../lib/sizes.ts';
import type { JobSummary } from '../../operations/results.ts';
import { utc } from '../terminal/words.ts';

/** What a job does: `backup of web1 to nightly`. */
export function workText({ kind, request }: Pick<JobSummary, 'kind' | 'request'>): string {
  const text = (name: string): string => {
    const value = request[name];
    return typeof value === 'string' ? value : '?';
  };
  if (kind === 'backup') return `backup of ${text('machine')} to ${text('set')}`;
  if (kind === 'restore') return `restore of ${text('disk')} of ${text('point')} to ${text('to')}`;
  if (kind === 'keep') return `keep session ${text('session')}`;
  return request['readData'] === true ? `${kind} of all data` : kind;
}

function percentOf({ position, total }: { position: number; total: number }): number {
  return total > 0 ? Math.floor((100 * position) / total) : 100;
}

/** How it is, in a few words. */
export function stateText(job: JobSummary): string {
  const { state, reason, notBefore, progress, result, adopted } = job;
  if (!adopted) return 'not adopted: see "holdfast store adopt"';
  if (progress && state === 'running') {
    return `${progress.phase} ${percentOf(progress)} % of ${formatSize(progress.total)}`;
  }
  const again = notBefore === null ? '' : `, again at ${utc(notBefore)} UTC`;
  if (reason !== null) return `${reason}${again}`;
  const point = result?.['point'];
  return typeof point === 'string' ? point : '';
}
