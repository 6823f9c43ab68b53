import { deepEqual, equal, match, rejects, throws } from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { adopt } from '../../../src/engine/operations/adoption.ts';
import { type Engine, noSecrets } from '../../../src/engine/base/engine.ts';
import { openJobKeys } from '../../../src/engine/jobs/job-keys.ts';
import { adoptOnce } from '../../../src/daemon/box-start.ts';
import { openJobFiles } from '../../../src/jobs/job-files.ts';
import { openQueue } from '../../../src/jobs/queue.ts';
import { openSchedules } from '../../../src/jobs/schedules.ts';
import { SystemError } from '../../../src/sys/base/system-error.ts';
import { roomyRuns } from '../../support/job-work.ts';
import { engineIn } from '../../support/engine.ts';
import { alterSet, plantJob, withoutSlots } from '../../support/planted.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

async function opened() {
  const { store, open } = await engineIn(temporaryDirectory());
  return { store, engine: await open() };
}

/** A queue on a store into which an attacker has written the job `evil`. */
async function foreignJob(stack: AsyncDisposableStack, { store, memory }: Engine) {
  const files = await openJobFiles(store.files, store.directory, { memory });
  plantJob(store.directory, { kind: 'check', request: {} });
  const queue = stack.use(
    await openQueue({
      ...{ world: store, files, laneOf: () => 'check', onChange() {}, onTrouble() {} },
      attempt: async () => ({ kind: 'done', result: {} }),
    }),
  );
  return { files, queue };
}

test('a set that cannot be read during an adoption does not come back unencrypted', async () => {
  const { store, engine } = await opened();
  await using _house = engine;
  const undo = alterSet(store, 'nightly', (it) => it);
  for (const name of ['set.json', 'set.copy.json']) {
    writeFileSync(join(store, 'sets/nightly', name), 'x');
  }
  const { plan } = await adopt(engine, undefined, { plan: undefined });
  equal((await adopt(engine, undefined, { plan })).adopted, true);
  equal((await engine.memory.look()).set('nightly')?.encrypted, true);
  undo();
});

test('what is adopted is what was shown, also where a set is altered in the meantime', async () => {
  const { store, engine } = await opened();
  await using _house = engine;
  const { plan, sets } = await adopt(engine, undefined, { plan: undefined });
  deepEqual(sets, []);
  const box = {
    ...engine.box,
    // Asked once the sets were looked at.
    async problem() {
      alterSet(store, 'nightly', withoutSlots);
      return undefined;
    },
  };
  await adopt({ ...engine, box }, undefined, { plan });
  equal((await engine.memory.look()).set('nightly')?.encrypted, true);
});

test('what the first start adopts is noted before it is obeyed', async () => {
  const { engine } = await opened();
  await using stack = new AsyncDisposableStack();
  stack.use(engine);
  const { store: world, memory } = engine;
  const told: string[] = [];
  const { files, queue } = await foreignJob(stack, engine);
  const about = { world, files, queue, onTrouble() {}, onMissed() {} };
  const schedules = stack.use(await openSchedules(about));
  const failing = {
    ...memory,
    async adopt() {
      throw new SystemError('NO_SPACE', 'no space');
    },
  };
  const parts = {
    jobs: { queue, schedules, keys: openJobKeys(noSecrets), files, proofs: roomyRuns() },
    monitor: { alarms: { raise: async ({ kind }: { kind: string }) => void told.push(kind) } },
    audit: {
      async begin(_who: unknown, what: string) {
        told.push(what);
        return async (outcome: string) => void told.push(outcome);
      },
    },
  };
  await rejects(adoptOnce({ ...engine, memory: failing }, parts), { code: 'NO_SPACE' });
  deepEqual(told, ['store/adopt', 'store-adopted']);
  deepEqual(
    queue.foreign().map(({ id }) => id),
    ['evil'],
  );
  await adoptOnce(engine, parts);
  deepEqual(told.slice(2), ['store/adopt', 'store-adopted', 'done']);
  deepEqual(queue.foreign(), []);
});

test('a job that this box did not order is removed without being adopted', async () => {
  const { store, engine } = await opened();
  await using stack = new AsyncDisposableStack();
  stack.use(engine);
  const { queue } = await foreignJob(stack, engine);
  throws(() => queue.show('evil'), { code: 'IMPOSSIBLE', message: /job cancel evil/ });
  equal((await queue.cancel('evil')).state, 'canceled');
  deepEqual([queue.foreign(), readdirSync(join(store, 'jobs'))], [[], []]);
  await rejects(queue.cancel('evil'), { code: 'NOT_FOUND' });
});

test('made-up jobs take little memory, and no job has the file of another', async () => {
  const { store, engine } = await opened();
  await using _house = engine;
  const files = await openJobFiles(engine.store.files, store, { memory: engine.memory });
  plantJob(store, { kind: 'check', request: {} });
  const bytes = readFileSync(join(store, 'jobs/evil.json'));
  writeFileSync(join(store, 'jobs/other.json'), bytes);
  for (let at = 0; at < 1001; at++) plantJob(store, { id: `x${at}`, kind: 'check', request: {} });
  const { records, foreign, damaged } = await files.jobs();
  deepEqual([records.length, foreign.length], [0, 1000]);
  match(
    damaged[0]!,
    /other\.json: it is the record of "evil"; this order is left out: .* remove it/,
  );
  match(damaged[1]!, /jobs: 2 more orders that this box did not give/);
});
