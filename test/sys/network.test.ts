import { rejects } from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { listen } from '../../src/sys/network.ts';
import { temporaryDirectory } from '../support/temporary.ts';

test('a path that can be no socket is refused with an error of the world', async () => {
  const directory = temporaryDirectory();
  const file = join(directory, 'file');
  writeFileSync(file, '');
  mkdirSync(join(directory, 'directory'));
  for (const [path, code] of [
    [`${directory}/a\0`, 'IO'],
    [file, 'EXISTS'],
    [join(directory, 'directory'), 'EXISTS'],
    [join(directory, 'nowhere', 'socket'), 'DENIED'],
    [join(directory, 'x'.repeat(200)), 'IO'],
  ] as const) {
    await rejects(
      listen({ kind: 'unix', path }, () => {}),
      { name: 'SystemError', code },
      path,
    );
  }
});
