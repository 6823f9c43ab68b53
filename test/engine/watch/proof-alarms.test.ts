import { deepEqual, match } from 'node:assert/strict';
import { test } from 'tap';
import { openAlarmBook } from '../../../src/alarms/alarm-book.ts';
import { type AlarmNews, stands } from '../../../src/alarms/alarm-state.ts';
import { lateProofs, proofEnded } from '../../../src/engine/watch/proof-alarms.ts';
import type { JobRecord } from '../../../src/formats/store/service/job.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { seeded } from '../../support/random.ts';
import { simulatedWorld } from '../../support/store.ts';

type Proof = Parameters<typeof proofEnded>[1];

const GOOD = {
  ...{ set: 'nightly', machine: 'web1', point: 'web1-1' },
  proof: { verdict: 'proven', state: 'works', reason: 'it is up', started: '2026-11-30T02:00:00Z' },
} as unknown as Proof;
const BAD: Proof = {
  ...GOOD,
  proof: { ...GOOD.proof, verdict: 'failed', state: 'panic', reason: 'the kernel panicked' },
};

async function book() {
  const world = simulatedWorld(crashingFs(seeded(1)).files);
  await world.files.makeDirectory('/store');
  const news: AlarmNews[] = [];
  const alarms = await openAlarmBook({
    ...{ world, directory: '/store', checks: () => 'checked', onTrouble() {} },
    onNews: async (it) => void news.push(it),
  });
  const standing = () =>
    alarms
      .list()
      .filter(stands)
      .map(({ id }) => id);
  const told = (): readonly string[] => news.splice(0).map(({ event }) => event);
  return { alarms, standing, told };
}

test('a proof that failed is an alarm until a later one of the same machine succeeds', async () => {
  const { alarms, standing, told } = await book();
  await proofEnded(alarms, GOOD);
  deepEqual(standing(), []);
  await proofEnded(alarms, BAD);
  deepEqual(standing(), ['proof-failed:nightly/web1']);
  match(alarms.list()[0]!.message, /web1-1 of machine web1 .*the kernel panicked\. .*verify show/);
  await proofEnded(alarms, { ...GOOD, machine: 'web2', point: 'web2-1' });
  deepEqual(standing(), ['proof-failed:nightly/web1'], 'another machine says nothing of it');
  await proofEnded(alarms, { ...BAD, point: 'web1-2' });
  deepEqual(told(), ['raised', 'again']);
  await proofEnded(alarms, { ...GOOD, point: 'web1-0' });
  deepEqual(standing(), []);
  deepEqual(told(), ['ended']);
});

test('proofs that were ordered and are not made for a day are an alarm, with the reason', async () => {
  const job = {
    ...{ id: 'night-1-verify', kind: 'verify', request: { set: 'nightly' }, state: 'running' },
    created: '2026-11-29T02:00:00Z',
  } as unknown as JobRecord;
  const at = (time: string, it = job) => lateProofs([it], new Date(time));
  deepEqual(at('2026-11-30T01:00:00Z'), []);
  const [late] = at('2026-11-30T03:00:00Z');
  deepEqual([late?.kind, late?.about], ['proof-late', 'night-1-verify']);
  match(
    late!.message,
    /set nightly were due .*recovery sessions come first.*job log night-1-verify/,
  );
  deepEqual(at('2026-11-30T03:00:00Z', { ...job, state: 'done' }), []);
  deepEqual(at('2026-11-30T03:00:00Z', { ...job, kind: 'backup' }), []);
});
