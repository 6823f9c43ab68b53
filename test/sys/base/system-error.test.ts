import { deepEqual, equal } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'tap';
import { systemError } from '../../../src/sys/base/system-error.ts';

function thrown(work: () => unknown): unknown {
  try {
    work();
  } catch (cause) {
    return cause;
  }
  throw new Error('it threw nothing');
}

test('what the kernel refused is said in words, with the name that manuals have', async () => {
  const missing = systemError(
    thrown(() => readFileSync('/nowhere')),
    'read /nowhere',
  );
  deepEqual(
    [missing.code, missing.message],
    ['NOT_FOUND', 'read /nowhere: there is no such file or directory (ENOENT)'],
  );
  const directory = systemError(
    thrown(() => readFileSync('/')),
    'read /',
  );
  deepEqual([directory.code, directory.message], ['INVALID', 'read /: it is a directory (EISDIR)']);
  const refused = Object.assign(new Error('connect ECONNREFUSED ::1:1'), { code: 'ECONNREFUSED' });
  equal(
    systemError(refused, 'connect to x').message,
    'connect to x: no program listens there (ECONNREFUSED)',
  );
  const other = systemError(new Error('something else'), 'do it');
  deepEqual([other.code, other.message], ['IO', 'do it: something else']);
  equal(systemError(missing, 'again'), missing, 'it is said once');
});
