import {
  type Fields,
  field,
  type ObjectOf,
  type Of,
  object,
  type Schema,
  variants,
} from '../../lib/schema.ts';
import { name } from '../base/fields.ts';
import { asJob, type JobSpec, mutation, type Operation } from '../base/operation.ts';
import { operations as backup } from './backup.ts';
import { at, type JobSummary, jobSummary, REQUEST, scheduleSummary } from './job.ts';
import { operations as finalize } from './finalize.ts';
import { operations as restore } from './restore.ts';
import { operations as retain } from './retain.ts';
import { operations as restoreToHypervisor } from './restore-to-hypervisor.ts';
import { operations as session } from './session.ts';
import { operations as store } from './store.ts';
import { operations as verify } from './verify.ts';

/* Operations that can run in the background: now, or at certain times. */

const DECLARED = [
  ...backup,
  ...retain,
  ...restore,
  ...restoreToHypervisor,
  ...store,
  ...session,
  ...finalize,
  ...verify,
] as const;

type Queueable = Extract<(typeof DECLARED)[number], { readonly job: JobSpec }>;
type Also<J extends JobSpec> = J extends { readonly also: infer F extends Fields }
  ? ObjectOf<F>
  : unknown;
/** The requests of jobs by kind. */
type Kinds = {
  readonly [O in Queueable as O['job']['kind']]: {
    readonly request: Schema<Of<O['request']> & Also<O['job']>>;
  };
};

const queueable = DECLARED.filter((it: Operation) => it.job) as readonly Queueable[];
const kinds: Kinds & Readonly<Record<JobSummary['kind'], Fields>> = Object.fromEntries(
  queueable.map((it) => [it.job.kind, { request: field(asJob(it), REQUEST) }]),
) as never;

/** What a job of that kind carries out; undefined: a kind of a later release. */
export function operationOf(kind: string): Operation | undefined {
  return queueable.find(({ job }) => job.kind === kind);
}

/** The declared kinds of jobs. */
export const jobRequest = variants(
  'kind',
  kinds,
  queueable.map(({ job, summary }) => `${job.kind}: ${summary.toLowerCase()}`).join('; '),
);

const create = mutation('job/create', {
  summary: 'Run an operation in the background, even if it takes days',
  runs: 'service',
  changes: ['job'],
  key: 'opens',
  passkey: 'as its job',
  request: jobRequest,
  result: jobSummary,
});

const createSchedule = mutation('schedule/create', {
  summary: 'Back up, check, forget, scrub, sweep or verify at certain times',
  description:
    'One job makes up for all times that came due while no service ran. While the last job has not ' +
    'ended, no new one is created.',
  runs: 'service',
  changes: ['schedule'],
  key: 'opens',
  passkey: 'as its job',
  request: object({
    schedule: field(name, 'name of the schedule', { placeholder: 'NAME', label: 'Name' }),
    at,
    job: field(jobRequest, 'what to do'),
  }),
  result: scheduleSummary,
});

export const operations = [create, createSchedule] as const;
