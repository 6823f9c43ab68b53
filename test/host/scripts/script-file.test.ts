import { chmodSync, chownSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { equal, throws } from 'node:assert/strict';
import { test } from 'tap';
import { checkScript } from '../../../src/host/scripts/script-file.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const skip = process.getuid?.() !== 0 && 'only root makes files of root';
const directory = join(temporaryDirectory(), 'verify.d');
mkdirSync(directory, { mode: 0o755 });

function made(name: string, mode: number): string {
  const path = join(directory, name);
  writeFileSync(path, '#!/bin/sh\n');
  chmodSync(path, mode);
  return path;
}

test('a script that only root can have written is taken', { skip }, async () => {
  const path = made('db', 0o755);
  equal(checkScript('db', directory), path);
});

test('a script that is missing, of another user, a link, or not to be run by all is refused', {
  skip,
}, async () => {
  const path = made('other', 0o755);
  throws(() => checkScript('none', directory), { code: 'NOT_FOUND' });
  symlinkSync(path, join(directory, 'link'));
  throws(() => checkScript('link', directory), { code: 'REFUSED', message: /not a regular file/ });
  made('all', 0o757);
  throws(() => checkScript('all', directory), { code: 'REFUSED', message: /other than root may/ });
  made('quiet', 0o700);
  throws(() => checkScript('quiet', directory), { code: 'REFUSED', message: /chmod 755/ });
  chownSync(path, 1234, 0);
  throws(() => checkScript('other', directory), { code: 'REFUSED', message: /user 1234/ });
});

test('no script is taken from a directory to which others write', { skip }, async () => {
  made('fine', 0o755);
  chmodSync(directory, 0o777);
  throws(() => checkScript('fine', directory), { code: 'REFUSED', message: /verify\.d: users/ });
  chmodSync(directory, 0o755);
});
