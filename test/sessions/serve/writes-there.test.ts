import { equal, rejects } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import { openNbdDisk } from '../../../src/block/nbd-client/nbd-disk.ts';
import { guestMemory } from '../../../src/sessions/serve/guest-memory.ts';
import { serveSession } from '../../../src/sessions/serve/serve-session.ts';
import { startSession } from '../../../src/sessions/state/held-session.ts';
import { openBlockReader } from '../../../src/store/read/block-reader.ts';
import { placedRecord } from '../../support/placed-session.ts';
import { noise } from '../../support/random.ts';
import { newStore, simulatedWorld, storePoint } from '../../support/store.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

test('what a guest writes over on its hypervisor can be read here, and not written', async () => {
  const { store, set } = await newStore(simulatedWorld());
  const point = await storePoint(store, set, noise(2 ** 20, 1));
  const path = join(temporaryDirectory(), 'nbd.sock');
  await using held = await startSession(store, point, {
    ...{ listen: `unix:${path}`, tls: false, nfs: undefined, whenFull: 'pause' },
  });
  await using reader = openBlockReader(store, {});
  const { placement } = placedRecord('running');
  for (const writes of ['here', 'there'] as const) {
    const plan = { ...placement.plan, writes };
    const record = { ...held.record, placement: { ...placement, plan } };
    await using serving = await serveSession(store, record, {
      ...{ set, point, listen: { kind: 'unix', path }, tls: undefined, nfs: undefined },
      ...{ reader, shared: undefined, memory: guestMemory(), begin: held.begin },
      ...{ admits: () => true, admitsUser: () => true, onEvent() {} },
    });
    await using guest = await openNbdDisk(serving.exports[0]!.uri);
    equal(guest.readOnly, writes === 'there');
    const write = guest.write(new Uint8Array(4096), 0, 'cached');
    await (writes === 'there' ? rejects(write, { code: 'READ_ONLY' }) : write);
    await guest.read(new Uint8Array(4096), 0);
  }
});
