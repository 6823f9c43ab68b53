import { equal, match, notEqual } from 'node:assert/strict';
import { test } from 'tap';
import { expectDone, holdfastIn, runCli } from '../../../support/cli.ts';
import { plantSession } from '../../../support/planted.ts';
import { temporaryDirectory } from '../../../support/temporary.ts';

test('exactly what was shown is adopted, and what is shown cannot hide anything', async () => {
  const { store, holdfast } = await holdfastIn(temporaryDirectory());
  const adopt = (...more: string[]) => runCli(['store', 'adopt', '--store', store, ...more]);
  plantSession(store, {
    id: 'vm-bad000',
    listen: 'tcp:0.0.0.0:10809\u001b[2K\u001b[1A\r\nSESSION  none',
  });
  const { stdout } = await expectDone(adopt());
  // oxlint-disable-next-line eslint/no-control-regex -- they are what is looked for
  equal(/[\u0000-\u0009\u000b-\u001f]/.test(stdout), false, JSON.stringify(stdout));
  match(stdout, /^vm-bad000 .*tcp:0\.0\.0\.0:10809\?\[2K.*SESSION {2}none.*no TLS/m);
  const plan = /store adopt --yes --plan (\w+)/.exec(stdout)![1]!;
  plantSession(store, { id: 'vm-bad001' });
  const late = await adopt('--yes', '--plan', plan);
  notEqual(late.code, 0);
  match(late.stderr, /has changed since then/);
  const listed = (await expectDone(holdfast('session', 'list'))).result;
  equal(JSON.stringify(listed).includes('"adopted":true'), false);
  const again = /--plan (\w+)/.exec((await expectDone(adopt())).stdout)![1]!;
  match((await expectDone(adopt('--yes', '--plan', again))).stdout, /Adopted: all of this/);
  match((await expectDone(adopt())).stdout, /Nothing in the store is unknown/);
});
