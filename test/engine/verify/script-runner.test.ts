import { rejects, throws } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
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

test('a path is refused where the name of a script is expected', async () => {
  for (const name of ['../../bin/sh', '.hidden', '']) {
    throws(
      () => parse(OPERATIONS['verify/point'].request, { point: 'x', script: [name] }),
      /script/,
    );
  }
});
