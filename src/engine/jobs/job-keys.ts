import type { JobRecord } from '../../formats/store/service/job.ts';
import type { GivenSecret, SecretSource } from '../base/engine.ts';

/*
 * Keys that people gave for jobs and schedules, in memory only: a job's until it has ended, a schedule's until it is
 * removed or the service ends. Also records which jobs wait for a key: a state that waits for a person is an alarm.
 */
export interface JobKeys {
  /** The key with which a job opens its set: given for it, or for its schedule, otherwise found by the service. */
  readonly sourceOf: (job: Owner) => SecretSource;
  /** A key given for a job of a schedule also serves the schedule's later jobs. */
  give(job: Owner, secret: GivenSecret): void;
  giveSchedule(name: string, secret: GivenSecret): void;
  /** Also keeps the key of a job for one that follows from it. */
  lend(job: Owner, follower: string): void;
  /** Where these have the old passphrase, they have the new one from now on. Returns which ones. */
  carry(
    owners: { readonly schedules: readonly string[]; readonly jobs: readonly string[] },
    old: Uint8Array,
    now: Uint8Array,
  ): string[];
  /** Notes the result of an attempt; `set`: the job needs the key of that set. */
  tried(job: string, set: string | undefined): void;
  /** The set whose key a job waits for. */
  neededBy(job: string): string | undefined;
  /** Whether the job has been tried since the service was started. */
  wasTried(job: string): boolean;
  /** Forgets the key of a job that has ended. */
  forgetJob(job: string): void;
  forgetSchedule(name: string): void;
}

type Owner = Pick<JobRecord, 'id' | 'schedule'>;

/** `secrets`: keys that the service finds without asking. */
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
    lend(job, follower) {
      const secret = givenFor(job);
      // A copy: each is wiped with its own job.
      if (secret) ofJobs.set(follower, structuredClone(secret));
    },
    giveSchedule: (name, secret) => void ofSchedules.set(name, secret),
    carry({ schedules, jobs }, old, now) {
      const carried = (keys: Map<string, GivenSecret>, owners: readonly string[], what: string) =>
        owners.filter((owner) => replace(keys, owner, { old, now })).map((it) => `${what} ${it}`);
      return [...carried(ofSchedules, schedules, 'schedule'), ...carried(ofJobs, jobs, 'job')];
    },
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

function replace(
  keys: Map<string, GivenSecret>,
  owner: string,
  { old, now }: { readonly old: Uint8Array; readonly now: Uint8Array },
): boolean {
  const secret = keys.get(owner);
  if (secret?.kind !== 'passphrase' || Buffer.compare(secret.passphrase, old) !== 0) return false;
  // A copy: each is wiped with its own job.
  keys.set(owner, { kind: 'passphrase', passphrase: Uint8Array.from(now) });
  return true;
}
