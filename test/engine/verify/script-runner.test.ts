import { rejects, throws } from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'tap';
import { checkHelper } from '../../../src/engine/verify/script-runner.ts';
import { verifyPoint } from '../../../src/engine/verify/verify-point.ts';
import { parse } from '../../../src/lib/schema.ts';
import { OPERATIONS } from '../../../src/operations/operations.ts';
import { engineIn, KEY } from '../../support/engine.ts';
import { noise } from '../../support/random.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const root = temporaryDirectory();

test('a script that is not there is named before anything is booted', async () => {
  const home = await engineIn(root);
  const image = join(root, 'a.raw');
  writeFileSync(image, noise(2 ** 16, 1));
  const { point } = await home.backUp('web1', image);
  await using engine = await home.open();
  const request = parse(OPERATIONS['verify/point'].request, { point, script: ['no-such-script'] });
  const { signal } = new AbortController();
  await rejects(verifyPoint(engine, request, { secrets: KEY, signal, report() {} }), {
    code: 'NOT_FOUND',
    message: /no script \/etc\/holdfast\/verify\.d\/no-such-script/,
  });
});

test('a process to which the helper would give no sandbox learns that before any boot', async ({
  teardown,
}) => {
  const helper = join(root, 'hostd.sock');
  const refused = { code: 'REFUSED', message: /only root and the service get one: run .* as root/ };
  const { RUNTIME_DIRECTORY: before } = process.env;
  teardown(() => {
    if (before === undefined) delete process.env['RUNTIME_DIRECTORY'];
    else process.env['RUNTIME_DIRECTORY'] = before;
  });
  process.env['RUNTIME_DIRECTORY'] = '/run/holdfast-nbd';
  await rejects(checkHelper(helper), refused, 'there is no helper');
  writeFileSync(helper, '');
  await checkHelper(helper);
  // Root may write to any.
  if (process.getuid?.() !== 0) {
    chmodSync(helper, 0o400);
    await rejects(checkHelper(helper), refused, 'it takes no requests of this user');
    chmodSync(helper, 0o600);
  }
  process.env['RUNTIME_DIRECTORY'] = root;
  await rejects(checkHelper(helper), refused, 'it does not find the sockets');
});

test('a path is refused where the name of a script is expected', async () => {
  for (const name of ['../../bin/sh', '.hidden', '']) {
    throws(
      () => parse(OPERATIONS['verify/point'].request, { point: 'x', script: [name] }),
      /script/,
    );
  }
});
