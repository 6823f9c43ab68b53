import { deepEqual, equal, ok } from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { firstFailure, kindOfFailure } from '../../../src/engine/base/failures.ts';
import { SystemError } from '../../../src/sys/base/system-error.ts';
import { TreeError } from '../../../src/vfs/tree-error.ts';

const SOURCES = new URL('../../../src/', import.meta.url).pathname;
/** Each room that decodes says what it means there. */
const NEVER_LEAVES = 'formats/format-error.ts';

test('the typed error of every room has a kind: none of them is taken for a fault of ours', async () => {
  const files = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('-error.ts') && name !== NEVER_LEAVES && !name.startsWith('lib/'),
  );
  ok(files.length >= 7, files.join(' '));
  for (const file of files) {
    const classes = Object.values((await import(join(SOURCES, file))) as object).filter(
      (it) => typeof it === 'function' && it.prototype instanceof Error,
    );
    equal(classes.length, 1, file);
    // One that is a special case of another error has the kind of that one.
    if (Object.getPrototypeOf(classes[0]) !== Error) continue;
    const [RoomError] = classes as (new (code: string, message: string) => Error)[];
    const kinds = ['CORRUPT', 'IO', 'REFUSED', 'FAILED'].map((code) =>
      kindOfFailure(new RoomError!(code, '')),
    );
    ok(
      kinds.some((kind) => kind !== undefined),
      file,
    );
  }
});

test('a failure of a file tree has its kind, and of several the first counts', async () => {
  const codes = ['CORRUPT', 'NO_SPACE', 'IO'] as const;
  deepEqual(
    codes.map((code) => kindOfFailure(new TreeError(code, ''))),
    ['corrupt', 'no-space', 'failed'],
  );
  equal(kindOfFailure(new Error('a bug')), undefined);
  const first = new SystemError('IO', 'first');
  equal(firstFailure(new SuppressedError(new Error('second'), first)), first);
});
