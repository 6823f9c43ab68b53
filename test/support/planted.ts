import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { jobFile, scheduleFile, type JobRecord } from '../../src/formats/store/service/job.ts';
import { encodeServed } from '../../src/formats/store/sessions/served.ts';
import { encodeSession, type SessionRecord } from '../../src/formats/store/sessions/session.ts';
import {
  decodeSet,
  encodeSet,
  type SetRecord,
} from '../../src/formats/store/catalog/set-record.ts';

/*
 * What a stranger who has the disk of a store, and no key, can write into it: everything that is only checksummed.
 */
const TIME = '2026-11-22T00:00:00.000Z';

export function plantSession(store: string, more: Partial<SessionRecord>): void {
  const { id = 'vm-bad000' } = more;
  const directory = join(store, 'sessions', id);
  mkdirSync(directory);
  const record: SessionRecord = {
    ...{ id, created: TIME, set: 'nightly', point: 'x', machine: 'vm' },
    ...{ disks: [], listen: 'tcp:127.0.0.1:0', tls: false, nfs: undefined },
    ...{
      whenFull: 'pause',
      phase: 'preparing',
      keepAs: undefined,
      sealed: undefined,
      placement: undefined,
    },
    ...more,
  };
  writeFileSync(join(directory, 'session.json'), encodeSession(record));
  writeFileSync(join(directory, 'served.json'), encodeServed({ tls: undefined }));
}

export function plantJob(
  store: string,
  more: Pick<JobRecord, 'kind' | 'request'> & Partial<JobRecord>,
): void {
  const record: JobRecord = {
    ...{ id: 'evil', schedule: undefined, created: TIME, state: 'waiting', canceling: undefined },
    ...{ failures: 0, deaths: 0, notBefore: undefined, started: undefined, ended: undefined },
    ...{ reason: undefined, result: undefined },
    ...more,
  };
  mkdirSync(join(store, 'jobs'), { recursive: true });
  writeFileSync(join(store, `jobs/${record.id}.json`), jobFile.encode(record, 'checked'));
}

/** Due every second. */
export function plantSchedule(store: string, more: Pick<JobRecord, 'kind' | 'request'>): void {
  const record = {
    ...{ name: 'evil', at: '*:*:*', created: TIME, last: TIME },
    ...{ paused: undefined, changed: undefined, ...more },
  };
  mkdirSync(join(store, 'schedules'), { recursive: true });
  writeFileSync(join(store, 'schedules/evil.json'), scheduleFile.encode(record, 'checked'));
}

/** Answers how to undo it. */
export function alterSet(
  store: string,
  set: string,
  alter: (record: SetRecord) => SetRecord,
  names: readonly string[] = ['set.json', 'set.copy.json'],
): () => void {
  const undo = names.map((name) => {
    const path = join(store, 'sets', set, name);
    const bytes = readFileSync(path);
    writeFileSync(path, encodeSet(alter(decodeSet(bytes))));
    return () => writeFileSync(path, bytes);
  });
  return () => undo.forEach((each) => each());
}

export function withoutSlots(record: SetRecord): SetRecord {
  return { ...record, domain: new Uint8Array(16), slots: [] };
}
