import { equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import type { OpenSet } from '../../../src/catalog/sets.ts';
import type { SessionRecord } from '../../../src/formats/store/sessions/session.ts';
import { machineWriting } from '../../../src/ingest/backup/store-machine.ts';
import { keepHeld } from '../../../src/sessions/finish/keep-session.ts';
import { startSession } from '../../../src/sessions/state/held-session.ts';
import { readJournal } from '../../../src/sessions/state/session-files.ts';
import type { Store } from '../../../src/store/directory/store.ts';
import { openBlockReader } from '../../../src/store/read/block-reader.ts';
import { CUTTING_DEFAULT } from '../../../src/store/write/chunker.ts';
import { inlineEncoder } from '../../../src/store/write/encoder.ts';
import { placedRecord } from '../../support/placed-session.ts';
import { noise } from '../../support/random.ts';
import { newStore, simulatedWorld, simulatedWriter, storePoint } from '../../support/store.ts';

const OPTIONS = { listen: undefined, tls: false, nfs: undefined, whenFull: 'refuse' } as const;

/** Keeps a session of a fresh store, changed so, and is interrupted: what its journal says then. */
async function interrupted(
  change: (record: SessionRecord) => SessionRecord,
): Promise<SessionRecord | undefined> {
  const { store, set } = await newStore(simulatedWorld());
  const point = await storePoint(store, set, noise(2 ** 20, 1));
  const session = await startSession(store, point, OPTIONS);
  await session.change(change);
  const { record } = session;
  await session[Symbol.asyncDispose]();
  const stop = new AbortController();
  stop.abort(new Error('the service is stopping'));
  await rejects(keepAborted(store, record, { set, signal: stop.signal }), /service is stopping/);
  return readJournal(store, record.id);
}

async function keepAborted(
  store: Store,
  record: SessionRecord,
  { set, signal }: { readonly set: OpenSet; readonly signal: AbortSignal },
): Promise<string> {
  await using writer = await simulatedWriter(store, set);
  const { random } = store;
  await using encoder = inlineEncoder({
    ...{ keys: set.keys, cutting: CUTTING_DEFAULT, random, writer },
  });
  await using reader = openBlockReader(store, { cacheLength: 2 ** 22 });
  const writing = machineWriting(store, { set, writer, encoder });
  return await keepHeld(store, record, {
    ...{ ...writing, reader, signal },
    // It is asked for while the recovery point is made.
    get known(): never {
      throw signal.reason;
    },
  });
}

test('a session that was withdrawn to be kept is kept later where the service stops', async () => {
  const { placement } = placedRecord('keeping', { goal: 'keep' });
  const keepAs = 'web1-20261130-000000-aabbcc';
  const left = await interrupted((it) => ({ ...it, placement, phase: 'keeping', keepAs }));
  equal(left?.phase, 'keeping');
  equal(left?.keepAs, keepAs);
});

test('an ordinary session that is interrupted is as it was', async () => {
  const left = await interrupted((record) => record);
  equal(left?.phase, 'ready');
});
