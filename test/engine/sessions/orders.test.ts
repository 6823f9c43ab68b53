import { deepEqual, notDeepEqual } from 'node:assert/strict';
import { test } from 'tap';
import { sessionOrder } from '../../../src/engine/sessions/orders.ts';
import { orderDigest } from '../../../src/formats/store/service/box.ts';
import type { SessionRecord } from '../../../src/formats/store/sessions/session.ts';
import { placedRecord } from '../../support/placed-session.ts';

const RECORD: SessionRecord = {
  ...{ id: 's', created: '', set: 'set', point: 'p0', machine: 'vm', listen: 'unix:/x' },
  ...{ disks: [{ name: 'vda', size: 4096 }], tls: false, nfs: undefined, whenFull: 'pause' },
  ...{ phase: 'ready', keepAs: undefined, sealed: undefined, placement: undefined },
};

function digestOf(more: Partial<SessionRecord>): string {
  return orderDigest(sessionOrder({ ...RECORD, ...more }).order, new Uint8Array(32));
}

test('how far a session has come is not an order: it stays one of this box', async () => {
  const sealed = { begun: [], overPlain: false };
  deepEqual(
    digestOf({ sealed: { ...sealed, begun: ['vda'] }, phase: 'keeping', keepAs: 'p1' }),
    digestOf({ sealed }),
  );
  // As when a session that wrote plain text is resumed once its store has the feature.
  deepEqual(digestOf({ sealed: { begun: ['vda'], overPlain: true } }), digestOf({}));
});

test('a sealed session that is made to be one with an overlay in plain text is not one of this box', async () => {
  const sealed = digestOf({ sealed: { begun: [], overPlain: false } });
  notDeepEqual(digestOf({ sealed: { begun: [], overPlain: true } }), sealed);
  notDeepEqual(digestOf({}), sealed);
});

test('on which hypervisor a session has which machine is an order; how far that has come is none', async () => {
  const { placement } = placedRecord('running');
  const { plan } = placement;
  const placed = digestOf({ placement });
  deepEqual(
    digestOf({ placement: { ...placement, goal: 'move', pool: 'fast', machine: 'u' } }),
    placed,
  );
  const replaces = { machine: 'uuid-db1', afterwards: 'delete' } as const;
  const others = [{ hypervisor: 'kvm2' }, { plan: { ...plan, replaces } }];
  for (const other of others)
    notDeepEqual(digestOf({ placement: { ...placement, ...other } }), placed);
  notDeepEqual(digestOf({}), placed);
});
