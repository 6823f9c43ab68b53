import type { JobRecord } from '../../formats/store/service/job.ts';
import type { GivenSecret, SecretSource } from '../base/engine.ts';

/*
 * Keys that people gave for jobs and schedules, in memory only: that of a job until it has ended, that of a schedule
 * until it is removed or the service ends. And what jobs wait for a key: a state that waits for a person is an alarm.
 */
export interface JobKeys {
  /** What a job opens its set with: what was given for it, or for its schedule, else what the service finds. */
  readonly sourceOf: (job: Owner) => SecretSource;
  /** What was given for a job of a schedule is for the schedule's later jobs as well. */
  give(job: Owner, secret: GivenSecret): void;
  giveSchedule(name: string, secret: GivenSecret): void;
  /** How an attempt of a job went; `set`: it needs the key of that set. */
  tried(job: string, set: string | undefined): void;
  /** The set whose key a job waits for. */
  neededBy(job: string): string | undefined;
  /** Whether it has been tried since the service was started. */
  wasTried(job: string): boolean;
  /** It has ended. */
  forgetJob(job: string): void;
  forgetSchedule(name: string): void;
}

type Owner = Pick<JobRecord, 'id' | 'schedule'>;

/** `secrets`: what the service finds without asking. */
export function openJobKeys(secrets: SecretSource): JobKeys {
  const ofJobs = new Map<string, GivenSecret>();
  const ofSchedules = new Map<string, GivenSecret>();
  const attempts = new Map<string, string | undefined>();
  const givenFor = ({ id, schedule }: Owner): GivenSecret | undefined =>
    ofJobs.get(id) ?? (schedule === undefined ? undefined : ofSchedules.get(schedule));
  return {
    sourceOf: (job) => async (set, when) => givenFor(job) ?? secrets(set, when),
    give({ id, schedule }, secret) {
      attempts.delete(id);
      if (schedule === undefined) ofJobs.set(id, secret);
      else ofSchedules.set(schedule, secret);
    },
    giveSchedule: (name, secret) => void ofSchedules.set(name, secret),
    tried: (job, set) => void attempts.set(job, set),
    neededBy: (job) => attempts.get(job),
    wasTried: (job) => attempts.has(job),
    forgetJob(job) {
      attempts.delete(job);
      forget(ofJobs, job);
    },
    forgetSchedule: (name) => forget(ofSchedules, name),
  };
}

function forget(keys: Map<string, GivenSecret>, owner: string): void {
  const secret = keys.get(owner);
  if (secret?.kind === 'passphrase') secret.passphrase.fill(0);
  keys.delete(owner);
}
