import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import type { Operation } from '../../src/operations/base/operation.ts';
import { asksPasskey } from '../../src/operations/asked-passkey.ts';
import { OPERATIONS } from '../../src/operations/operations.ts';

/** Operations that open a set without showing what guests' disks hold, and why they do. */
const NOT_ASKED = {
  'backup/create': 'writes a new point',
  'backup/import': 'writes points that come from elsewhere',
  'backup/machine': 'writes new points',
  'session/keep': 'writes a new point; the session needed the passkey when it was started',
  'store/upgrade': 'rewrites records',
  'verify/latest': 'shows whether machines boot',
  'verify/measure': 'shows how many of them boot at once',
  'backup/note': 'writes what people say of a point',
  'backup/tag': 'the same',
  'backup/untag': 'the same',
  'backup/protect': 'the same',
  'backup/unprotect': 'the same',
  'backup/hold': 'the same',
  'backup/release': 'the same',
  'backup/lock': 'the same',
  'set/lock': 'orders a lock for new points',
  'set/add-passphrase': 'needs the key of the set from a person',
  'set/change-passphrase': 'the same',
  'set/remove-passphrase': 'the same',
  'set/change-recovery-key': 'the same',
  'job/unlock': 'the job needed the passkey when it was created',
} as const;

test('each operation that opens a set says whether a passkey is asked for, and why none is', async () => {
  const opening = Object.values<Operation>(OPERATIONS).filter(({ key }) => key === 'opens');
  ok(opening.length > 5);
  for (const { name, passkey } of opening) ok(passkey !== undefined, `${name} says nothing`);
  const without = opening.filter(({ passkey }) => passkey === 'not asked').map(({ name }) => name);
  deepEqual(without.toSorted(), Object.keys(NOT_ASKED).toSorted());
});

test('a job, and a schedule, needs the passkey for what it carries out', async () => {
  const restore = { kind: 'restore', request: {} } as never;
  const backup = { kind: 'backup', request: {} } as never;
  ok(asksPasskey('job/create', restore));
  ok(!asksPasskey('job/create', backup));
  const schedule = (job: never) => asksPasskey('schedule/create', { schedule: 'x', at: 'y', job });
  ok(schedule(restore));
  ok(!schedule(backup));
  ok(asksPasskey('session/start', {} as never));
  ok(asksPasskey('backup/show', { point: 'x', definition: true }));
  ok(!asksPasskey('backup/show', { point: 'x', definition: false }));
  ok(!asksPasskey('backup/create', {} as never));
});

test('a job that carries out an operation may not lose its question', async () => {
  const asked = Object.values<Operation>(OPERATIONS).filter(({ passkey }) => passkey === 'asked');
  for (const { name, job } of asked) {
    if (!job) continue;
    ok(asksPasskey('job/create', { kind: job.kind, request: {} } as never), name);
  }
  equal(asked.filter(({ job }) => job).length > 0, true);
});
