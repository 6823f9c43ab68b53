import { ok } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import { openEngine } from '../../src/engine/base/engine.ts';
import type { NfsPlace, SessionRecord } from '../../src/formats/store/sessions/session.ts';
import { MiB } from '../../src/lib/sizes.ts';
import { createStore } from '../../src/store/directory/store.ts';
import { realWorld } from '../../src/sys/world.ts';
import { rememberApart } from '../support/box-state.ts';
import { rpcClient } from '../support/nfs-client.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { until } from '../support/until.ts';

rememberApart();

// A19
test('what is written over NFS is counted with what is written over NBD', async () => {
  const directory = join(temporaryDirectory(), 'store');
  await createStore(realWorld(), directory);
  await using engine = await openEngine(directory);
  const { writes } = engine.guestMemory;
  const nfs = await engine.nfs();
  const place: NfsPlace = {
    host: '127.0.0.1',
    ports: { nfs: 0, mount: 0, portmap: 0 },
    allow: ['127.0.0.0/8'],
    readOnly: false,
    squash: 'none',
    privilegedPorts: false,
    points: false,
  };
  nfs.expect({
    id: 's-1',
    created: '2026-11-29T12:00:00Z',
    nfs: place,
  } as unknown as SessionRecord);
  await using httpApi = await nfs.enter(place);
  const client = await rpcClient(httpApi.ports.nfs);
  ok(writes.held < MiB / 2);
  // A record of 1 MiB, of which half comes.
  client.send(Buffer.from([0x80, 0x10, 0, 0]));
  client.send(new Uint8Array(MiB / 2));
  await until('half of the record counted', () => writes.held >= MiB / 2);
  await client[Symbol.asyncDispose]();
});
