import type { Retention } from '../../catalog/retention/rules.ts';
import { asError } from '../../lib/as-error.ts';
import type { Report } from '../../operations/events.ts';
import type { MadePoint } from '../../operations/nouns/backup.ts';
import type { ResultOf } from '../../operations/operations.ts';
import type { Engine } from '../base/engine.ts';
import { firstFailure, kindOfFailure } from '../base/failures.ts';
import { retain } from './retention.ts';
import { rulesOf } from './set-retention.ts';

/**
 * Forgets what no rule keeps of the machine that was just backed up: by `rules`, or else by those of the set.
 * Undefined: there are none. Null: it failed, which is reported: the backup is made, and the next one forgets what this
 * one could not.
 */
export async function retainAfter(
  engine: Engine,
  { set, machine }: Pick<MadePoint, 'set' | 'machine'>,
  rules: Retention | undefined,
  report: Report,
): Promise<Omit<ResultOf<'backup/retain'>, 'points'> | null | undefined> {
  let failed = 'nothing was forgotten';
  try {
    const retention = rules ?? (await rulesOf(engine, set));
    if (!retention) return undefined;
    // Some may be forgotten before it fails.
    failed = 'forgetting ended early';
    // What keeps each of many points is asked with a dry run: it would not fit into a job.
    const { points: _points, ...result } = await retain(engine, {
      ...{ set, machine, dryRun: false, retention },
    });
    const { length } = result.forgotten;
    if (!rules && length > 0) {
      const what = length === 1 ? '1 recovery point' : `${length} recovery points`;
      const message = `${what} of ${machine} forgotten, by the retention of set "${set}"`;
      report({ event: 'notice', message });
    }
    return result;
  } catch (error) {
    const cause = firstFailure(error);
    if (kindOfFailure(cause) === undefined) throw cause;
    report({ event: 'notice', message: `${failed}: ${asError(cause).message}` });
    return null;
  }
}
