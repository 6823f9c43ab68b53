import { rejects } from 'node:assert/strict';
import { test } from 'tap';
import { CatalogError } from '../../../src/catalog/catalog-error.ts';
import { mount } from '../../../src/engine/files/mounts.ts';
import { makeSet } from '../../../src/engine/points/sets.ts';
import { engineIn, KEY } from '../../support/engine.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

// What a mount shows is tested in test/interop/mount.test.ts.

test('of several sets, one that is not encrypted is asked for its passkey too', async () => {
  await using engine = await (await engineIn(temporaryDirectory())).open();
  await makeSet(engine, 'plain', undefined);
  const request = { directory: temporaryDirectory(), sets: ['nightly', 'plain'] };
  const mounting = mount(engine, request, {
    async secrets(set, when) {
      if (set === 'plain') throw new CatalogError('PASSKEY', 'it is missing');
      return KEY(set, when);
    },
    signal: new AbortController().signal,
    report() {},
  });
  await rejects(mounting, { code: 'PASSKEY' });
});
