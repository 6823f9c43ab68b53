import { dirname, resolve } from 'node:path/posix';
import { isNbdUri } from '../../block/nbd-client/nbd-uri.ts';
import type { RequestOf } from '../../operations/operations.ts';
import { sessionStatus } from '../../sessions/state/listed-sessions.ts';
import { mayWrite } from '../../sys/files/file-view.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { ownHypervisorFiles } from '../../box/hypervisor-files.ts';
import { checkName } from '../../catalog/names.ts';
import { findPoint } from '../../catalog/points.ts';
import { checkBackup, checkRestore, requirePointDisk } from '../points/backups.ts';
import { diskTargets } from '../points/disk-targets.ts';
import { type Engine, openPoint, openSet, type SecretSource } from '../base/engine.ts';
import { checkRetention } from '../points/retention.ts';
import { checkRules } from '../points/set-retention.ts';

type Job = RequestOf<'job/create'>;

/**
 * A job that would fail each time, or wait for a key that is never given, is refused when it is created, not at
 * night. NBD servers are not checked, because they may run only at the time of the job. Returns the job in its final
 * form: a point that is restored is named with its set, for no attempt may open another one;
 * `@latest` becomes the point that is the newest when the job is created, whenever it is tried.
 */
export async function checkJob(
  engine: Engine,
  job: Job,
  { secrets }: { readonly secrets: SecretSource },
): Promise<Job> {
  // They read what the available keys open, and report the rest.
  if (job.kind === 'check' || job.kind === 'scrub' || job.kind === 'sweep') return job;
  if (job.kind === 'retain') {
    await checkRules(engine, job.request);
    return job;
  }
  if (job.kind === 'restore') {
    const found = await checkRestore(engine, job.request, secrets);
    await checkWritable(engine, job.request.to);
    return { ...job, request: { ...job.request, point: inItsSet(found) } };
  }
  if (job.kind === 'restore-images') {
    // `@latest` is the point that is the newest now.
    const found = await openPoint(engine, job.request.point, secrets);
    await diskTargets(engine.store, { ...job.request, disks: [] }, found.point);
    return { ...job, request: { ...job.request, point: inItsSet(found) } };
  }
  if (job.kind === 'finalize') {
    const { record } = await sessionStatus(engine.store, job.request.session);
    await diskTargets(engine.store, job.request, record);
  }
  if (job.kind === 'restore-machine' || job.kind === 'restore-machine-disk') {
    // The hypervisor itself may be away now: all that stands in the way there is found when the job runs.
    await ownHypervisorFiles(engine.store).get(job.request.to);
    const found = await openPoint(engine, job.request.point, secrets);
    const point = inItsSet(found);
    if (job.kind === 'restore-machine') return { ...job, request: { ...job.request, point } };
    requirePointDisk(found.point, job.request.disk);
    return { ...job, request: { ...job.request, point } };
  }
  if (job.kind === 'backup') {
    const { request } = job;
    checkBackup(request);
    if (request.retention) checkRetention(request.retention);
    const files = request.disks.map(({ where }) => where).filter((where) => !isNbdUri(where));
    for (const where of files) await checkImage(engine, where);
  }
  if (job.kind === 'backup-machine') {
    const { from, machine, retention } = job.request;
    if (machine !== undefined) checkName(machine, 'machine');
    const known = ownHypervisorFiles(engine.store);
    // The hypervisor itself may be away now: it is asked at the time of the job.
    for (const it of from) await known.get(it.slice(0, it.indexOf('/')));
    if (retention) checkRetention(retention);
  }
  await openSet(engine, await setOf(engine, job), secrets);
  return job;
}

function inItsSet({ set, point }: Awaited<ReturnType<typeof openPoint>>): string {
  return `${set.name}/${point.id}`;
}

/**
 * What each run of a schedule is asked for, of a job that was checked: the newest point may be another one each time,
 * but its set is the one that was opened when the schedule was created.
 */
export function asScheduled(asked: Job, checked: Job): Job {
  if (!isRestore(asked) || !isRestore(checked) || asked.request.point.includes('/')) return asked;
  const [set] = checked.request.point.split('/');
  return { ...asked, request: { ...asked.request, point: `${set}/${asked.request.point}` } } as Job;
}

/** The set whose key a job needs. */
export async function setOf(
  engine: Engine,
  job: Exclude<Job, { kind: 'check' | 'retain' | 'scrub' | 'sweep' }>,
): Promise<string> {
  if (job.kind === 'backup' || job.kind === 'backup-machine' || job.kind === 'verify') {
    return job.request.set;
  }
  if (isRestore(job)) {
    return (await findPoint(engine.store, job.request.point)).set;
  }
  return (await sessionStatus(engine.store, job.request.session)).record.set;
}

function isRestore(job: Job): job is Extract<Job, { kind: `restore${string}` }> {
  return job.kind.startsWith('restore');
}

/** A device is opened itself; for a file, another one is first created beside it. */
async function checkWritable({ store }: Engine, to: string): Promise<void> {
  if (isNbdUri(to)) return;
  const path = resolve(to);
  if ((await store.files.stat(path))?.kind === 'block-device') return;
  if (await mayWrite(dirname(path))) return;
  throw new SystemError('DENIED', `${path} cannot be created: its directory is not writable`);
}

async function checkImage({ store }: Engine, where: string): Promise<void> {
  const path = resolve(where);
  if (await store.files.stat(path)) return;
  throw new SystemError('NOT_FOUND', `${path}: there is no such image`);
}
