import { deepEqual, equal, ok } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import { keepProof } from '../../../src/catalog/proofs.ts';
import { openPoint } from '../../../src/engine/base/engine.ts';
import { showPoint } from '../../../src/engine/points/shown-point.ts';
import { showProof } from '../../../src/engine/points/shown-proof.ts';
import { openPasskeys } from '../../../src/engine/secrets/passkeys.ts';
import { PROOF_STATES } from '../../../src/formats/store/catalog/proof-result.ts';
import { reasonWithoutQuotes } from '../../../src/sessions/proof/verdict.ts';
import { systemClock } from '../../../src/sys/base/clock.ts';
import { engineIn, KEY } from '../../support/engine.ts';
import { makeRawDisk } from '../../support/images.ts';
import { PROOF } from '../../support/proof-result.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const SECRET = 'token "s3same" of web1';
const NONE = { screenshot: false, picture: false, serial: false };

test('of a set with a passkey no line of the guest is shown without it', async () => {
  const root = temporaryDirectory();
  const image = join(root, 'disk.raw');
  makeRawDisk(image, 2 ** 20, 4);
  const home = await engineIn(root);
  const { point: id } = await home.backUp('web1', image);
  await using engine = await home.open();
  const { set, point } = await openPoint(engine, id, KEY);
  const line = (kind: 'boot' | 'serial') =>
    ({ kind, what: '', outcome: 'passed', afterMs: 1, detail: `"${SECRET}"` }) as const;
  const proof = {
    ...{ ...PROOF, reason: `The machine boots and works: "${SECRET}".`, screenText: SECRET },
    checks: [line('boot'), line('serial'), ...PROOF.checks.slice(1)],
  };
  await keepProof(engine.store, set, point, proof, '1');
  const faces = async () => [
    (await showProof(engine, { point: id, ...NONE }, KEY)).proof,
    (await showPoint(engine, { point: id, definition: undefined }, KEY)).proof!,
  ];
  for (const shown of await faces()) equal(shown.screenText, SECRET);
  await openPasskeys(systemClock()).change(engine, 'nightly', 'open sesame');
  for (const shown of await faces()) {
    ok(!JSON.stringify(shown).includes('s3same'));
    equal(shown.screenText, null);
    deepEqual(shown.checks.at(-1), PROOF.checks[1]);
    ok(shown.reason.startsWith('The machine boots and works: '));
  }
  const { proof: whole } = await showProof(engine, { ...NONE, point: id, serial: true }, KEY);
  deepEqual([whole.screenText, whole.reason], [SECRET, proof.reason]);
});

test('a reason that quotes the guest is replaced, also one of a later release', async () => {
  const quoting = ['works', 'unhealthy', 'panic', 'no-boot-device', 'boot-loader'];
  quoting.push('file-system-check', 'emergency', 'passphrase', 'of a later release');
  for (const state of [...PROOF_STATES, 'of a later release']) {
    equal(!reasonWithoutQuotes(state, SECRET).includes('s3same'), quoting.includes(state), state);
  }
});
