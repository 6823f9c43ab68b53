import { CatalogError } from '../../catalog/catalog-error.ts';
import type { JobFiles } from '../../jobs/job-files.ts';
import { hasEnded } from '../../jobs/job-state.ts';
import { type JsonObject, parse, SchemaError } from '../../lib/schema.ts';
import { jobRequest } from '../../operations/nouns/background.ts';
import { SessionError } from '../../sessions/state/session-error.ts';
import type { Engine } from '../base/engine.ts';
import { setOf } from './job-checks.ts';

/** Schedules, and jobs that have not ended, of one set: by name and ID. */
export interface SetUsers {
  readonly schedules: readonly string[];
  readonly jobs: readonly string[];
}

/** Those that use a set, also if another box has ordered them. */
export async function setUsers(
  engine: Engine,
  files: Pick<JobFiles, 'jobs' | 'schedules'>,
  set: string,
): Promise<SetUsers> {
  const schedules: string[] = [];
  const jobs: string[] = [];
  const ofSchedules = await files.schedules();
  for (const it of [...ofSchedules.records, ...ofSchedules.foreign]) {
    if (await usesSet(engine, it, set)) schedules.push(it.name);
  }
  const ofJobs = await files.jobs();
  for (const it of [...ofJobs.records, ...ofJobs.foreign]) {
    if (!hasEnded(it) && (await usesSet(engine, it, set))) jobs.push(it.id);
  }
  return { schedules, jobs };
}

async function usesSet(
  engine: Engine,
  { kind, request }: { readonly kind: string; readonly request: JsonObject },
  set: string,
): Promise<boolean> {
  try {
    const job = parse(jobRequest, { kind, request });
    if (job.kind === 'check' || job.kind === 'scrub' || job.kind === 'sweep') return false;
    if (job.kind === 'retain') return job.request.set === set;
    return (await setOf(engine, job)) === set;
  } catch (cause) {
    // A job of a later release, or of a recovery point or session that is gone.
    const isKnown = [SchemaError, CatalogError, SessionError].some((it) => cause instanceof it);
    if (isKnown) return false;
    throw cause;
  }
}
