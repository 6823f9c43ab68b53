import { parse } from '../../lib/schema.ts';
import type { JobKind, JobRecord } from '../../formats/store/service/job.ts';
import { asError } from '../../lib/as-error.ts';
import type { Outcome } from '../../jobs/job-state.ts';
import type { AttemptOptions, JobQueue } from '../../jobs/queue.ts';
import { jobRequest } from '../../operations/nouns/background.ts';
import type { Report } from '../../operations/events.ts';
import type { MadePoint } from '../../operations/nouns/backup.ts';
import type { RequestOf, ResultOf, WorkerOperationName } from '../../operations/operations.ts';
import { againAfter } from '../base/again.ts';
import { firstFailure, kindOfFailure } from '../base/failures.ts';
import type { Engine, SecretSource } from '../base/engine.ts';
import type { JobKeys } from './job-keys.ts';
import type { ProofRuns } from '../verify/proof-runs.ts';
import { checkRetention } from '../points/retention.ts';
import { retainAfter } from '../points/retain-after.ts';
import { retainByRules } from '../points/set-retention.ts';
import { asSeenHere } from '../base/service-view.ts';
import type { CallOptions, Handlers } from '../base/call.ts';

/** The most problems that are kept with a job. */
const PROBLEMS_MAX = 1000;

/** They do not keep the store from others; two of a kind would only slow each other down. */
const READERS: ReadonlySet<JobKind> = new Set([
  ...(['check', 'finalize', 'restore', 'restore-images'] as const),
  ...(['restore-machine', 'restore-machine-disk', 'scrub', 'verify'] as const),
  // It writes in short turns, between which backups go on.
  'sweep',
]);

/** Only one may write to a store. */
export function laneOf(kind: JobKind): string {
  return READERS.has(kind) ? kind : 'write';
}

/** The work of jobs. Rejects only for bugs of our own. */
export function jobWork(engine: Engine, { keys, inWorker, runs, submit }: WorkParts) {
  /**
   * After a crash it is ordered again under the same ID, which changes nothing. The backup stays made, whatever
   * comes of its proofs: repeating it would make another recovery point.
   */
  async function follow(job: JobRecord, outcome: Outcome): Promise<Outcome> {
    const request = proofsAfter(job, outcome);
    if (!request || !('result' in outcome)) return outcome;
    try {
      const { id } = await submit({ id: `${job.id}-verify`, kind: 'verify', request });
      keys.lend(job, id);
      return outcome;
    } catch (error) {
      const cause = firstFailure(error);
      if (kindOfFailure(cause) === undefined) throw cause;
      const advice = `"holdfast verify latest ${request.set}" verifies them`;
      const unproven = `the new recovery points are not verified: ${asError(cause).message}; ${advice}`;
      const reasons = outcome.kind === 'bad' ? [outcome.reason, unproven] : [unproven];
      return { kind: 'bad', result: outcome.result, reason: reasons.join('; ') };
    }
  }
  return async (job: JobRecord, { signal, report: tell }: AttemptOptions): Promise<Outcome> => {
    const report: Report = (event) => {
      if (event.event === 'progress' || event.event === 'notice') tell(event);
    };
    const find = keys.sourceOf(job);
    let needed: string | undefined;
    const secrets: SecretSource = async (set, when) => {
      needed = set;
      return find(set, when);
    };
    try {
      const outcome = await attempt(job, {
        ...{ engine, inWorker, runs, secrets, signal, report },
        ...{ given: undefined, who: undefined },
      });
      keys.tried(job.id, undefined);
      return await follow(job, outcome);
    } catch (error) {
      const cause = firstFailure(error);
      const kind = kindOfFailure(cause);
      if (kind === undefined) throw cause;
      const needsKeyOf = kind === 'wrong-key' ? needed : undefined;
      keys.tried(job.id, needsKeyOf);
      const advice =
        needsKeyOf === undefined ? '' : `; "holdfast job unlock ${job.id}" gives it the key`;
      const asked = { kind: job.kind, request: job.request };
      const seen = await asSeenHere({ kind, message: asError(cause).message }, 'job/create', asked);
      const reason = `${seen}${advice}`;
      return { kind: 'failed', reason, again: againAfter(cause, kind) };
    }
  };
}

interface WorkParts {
  readonly keys: JobKeys;
  readonly inWorker: Handlers<WorkerOperationName>;
  readonly runs: ProofRuns;
  /** Orders a job that follows from another. */
  readonly submit: JobQueue['submit'];
}

interface Attempt extends CallOptions {
  readonly engine: Engine;
  readonly inWorker: Handlers<WorkerOperationName>;
  readonly runs: ProofRuns;
}

type Asked = RequestOf<'job/create'>;
type Request<K extends Asked['kind']> = Extract<Asked, { kind: K }>['request'];

const done = (result: object): Outcome => ({ kind: 'done', result: { ...result } });

async function attempt(job: JobRecord, options: Attempt): Promise<Outcome> {
  const { inWorker } = options;
  const asked = parse(jobRequest, { kind: job.kind, request: job.request });
  switch (asked.kind) {
    case 'backup':
      return done(await backUp(asked.request, options));
    case 'backup-machine':
      return backUpMachines(job, asked.request, options);
    case 'check':
      return checked(await inWorker['store/check'](asked.request, options));
    case 'keep': {
      const { session } = asked.request;
      const keep = () => inWorker['session/keep'](asked.request, options);
      return done(await endedOnce(job, keep, { session, point: null }));
    }
    case 'finalize': {
      const { session } = asked.request;
      const finalize = () => inWorker['session/finalize'](asked.request, options);
      return done(await endedOnce(job, finalize, { session, disks: null }));
    }
    case 'restore-images':
      // It can be repeated: what an earlier attempt has written is left as it is.
      return done(await inWorker['restore/images'](asked.request, options));
    case 'restore-machine':
      return done(await inWorker['restore/machine'](asked.request, options));
    case 'restore-machine-disk':
      return done(await inWorker['restore/machine-disk'](asked.request, options));
    case 'restore':
      return restoreOnce(job, asked.request, options);
    case 'retain': {
      const { points: _points, ...result } = await retainByRules(options.engine, asked.request);
      return done(result);
    }
    case 'scrub':
      return checked(await inWorker['store/scrub'](asked.request, options));
    case 'sweep':
      return swept(await inWorker['store/sweep'](asked.request, options));
    case 'verify':
      return verified(asked.request, options);
    default:
      return asked satisfies never;
  }
}

function checked({ problems, ...rest }: ResultOf<'store/check' | 'store/scrub'>): Outcome {
  const result = { ...rest, problems: problems.slice(0, PROBLEMS_MAX) };
  if (problems.length === 0) return done(result);
  const count = problems.length;
  const reason = count === 1 ? '1 problem was found' : `${count} problems were found`;
  return { kind: 'bad', result, reason };
}

function swept(result: ResultOf<'store/sweep'>): Outcome {
  const held = result.held.slice(0, PROBLEMS_MAX);
  const shown = { ...result, held, damage: result.damage.slice(0, PROBLEMS_MAX) };
  const [first] = result.held;
  if (first) {
    const { where, what } = first;
    const reason = `nothing was removed of ${first.sets.join(', ')}: ${where}: ${what}`;
    return { kind: 'bad', result: shown, reason };
  }
  const [damaged] = result.damage;
  if (!damaged) return done(shown);
  return { kind: 'bad', result: shown, reason: `${damaged.where}: ${damaged.what}` };
}

async function backUp(request: Request<'backup'>, options: Attempt) {
  const { retention, thenVerify: _then, ...backup } = request;
  if (retention) checkRetention(retention);
  const [point] = shortened([await options.inWorker['backup/create'](backup, options)]);
  return retained(point!, retention, options);
}

/** Later attempts have what is left of the window. */
async function backUpMachines(
  { created }: JobRecord,
  request: Request<'backup-machine'>,
  options: Attempt,
): Promise<Outcome> {
  const { retention, window, thenVerify: _then, ...backup } = request;
  if (retention) checkRetention(retention);
  const passed = (options.engine.store.clock.now().getTime() - Date.parse(created)) / 1000;
  const left = window === undefined ? undefined : Math.floor(window - Math.max(0, passed));
  if (left !== undefined && left <= 0) {
    const reason = 'the window of this backup has ended; the next one is made at its own time';
    return { kind: 'failed', reason, again: 'never' };
  }
  const asked = { ...backup, window: left };
  const { points, ...made } = await options.inWorker['backup/machine'](asked, options);
  const kept: Awaited<ReturnType<typeof retained>>[] = [];
  // One after the other: each needs the store for itself.
  for (const point of shortened(points)) kept.push(await retained(point, retention, options));
  const result = { ...made, points: kept };
  const { failed } = made;
  if (failed.length === 0) return done(result);
  const count = failed.length === 1 ? '1 machine was' : `${failed.length} machines were`;
  const [first] = failed;
  const reason = `${count} not backed up: ${first!.machine}: ${first!.reason}`;
  return { kind: 'bad', result, reason };
}

/** The machines of which a backup has made points that are to be proven; undefined: none. */
function proofsAfter({ kind, request }: JobRecord, outcome: Outcome) {
  if (!('result' in outcome) || request['thenVerify'] !== true) return undefined;
  const { result } = outcome;
  const made = kind === 'backup' ? [result] : kind === 'backup-machine' ? result['points'] : [];
  const machines = (made as readonly Pick<MadePoint, 'machine'>[]).map(({ machine }) => machine);
  if (machines.length === 0) return undefined;
  return { set: request['set'] as string, machines };
}

async function verified(request: Request<'verify'>, options: Attempt): Promise<Outcome> {
  const { engine, runs, inWorker } = options;
  const { verifyLatest } = await import('../verify/latest.ts');
  const boot = inWorker['verify/point'];
  const result = await verifyLatest(engine, request, { ...options, runs, boot });
  const failed = result.points.filter(({ verdict }) => verdict === 'failed');
  const [first] = [...failed, ...result.notTried];
  if (!first) return done(result);
  const counts = `${failed.length} of ${result.points.length} recovery points do not work`;
  const not = result.notTried.length > 0 ? `, ${result.notTried.length} were not tried` : '';
  return { kind: 'bad', result, reason: `${counts}${not}: ${first.machine}: ${first.reason}` };
}

/** A store that has lost its disk has damage without an end: of all points together, a job keeps only so much. */
function shortened(points: readonly MadePoint[]): readonly MadePoint[] {
  let left = PROBLEMS_MAX;
  return points.map((point) => {
    const damage = point.damage.slice(0, left);
    left -= damage.length;
    const more = point.damage.length - damage.length;
    if (more === 0) return point;
    const what = `${more} more damaged or missing parts of the store are not listed`;
    return { ...point, damage: [...damage, { where: point.point, what }] };
  });
}

async function retained(
  point: MadePoint,
  retention: Request<'backup'>['retention'],
  { engine, report }: Attempt,
) {
  const result = await retainAfter(engine, point, retention, report);
  return result === undefined ? { ...point } : { ...point, retained: result };
}

/** A file that exists at a later attempt may come from an earlier one that died before reporting it: it is kept. */
async function restoreOnce(
  { failures, deaths }: JobRecord,
  restore: Request<'restore'>,
  options: Attempt,
): Promise<Outcome> {
  const { to, overwrite } = restore;
  const isFirst = failures + deaths === 0;
  if (!isFirst && !overwrite && (await options.engine.store.files.stat(to))?.kind === 'file') {
    const reason =
      `${to} exists. If an earlier attempt of this job created it, it is complete: restored files appear ` +
      'under their names only then. Otherwise restore to another name';
    return { kind: 'failed', reason, again: 'never' };
  }
  return done(await options.inWorker['restore/disk'](restore, options));
}

/** If the session is gone, an earlier attempt ended it and died before reporting it, in whichever of our processes. */
async function endedOnce(
  { failures, deaths }: JobRecord,
  end: () => Promise<object>,
  before: object,
): Promise<object> {
  try {
    return await end();
  } catch (error) {
    const isFirst = failures + deaths === 0;
    if (kindOfFailure(firstFailure(error)) !== 'not-found' || isFirst) throw error;
    return before;
  }
}
