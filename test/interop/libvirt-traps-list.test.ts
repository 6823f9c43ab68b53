import { deepEqual, ok } from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'tap';

test('the list of what happens to machines of libvirt names promises that are tested', async () => {
  const list = readFileSync('test/interop/libvirt-traps.md', 'utf8');
  const rows = [...list.matchAll(/\| `(test\/[^`]+)`: (.+?) +\|$/gm)];
  ok(rows.length > 10);
  const missing = rows.filter(
    ([, file = '', promise = '']) =>
      !existsSync(file) || !readFileSync(file, 'utf8').includes(promise),
  );
  deepEqual(
    missing.map(([row]) => row),
    [],
  );
});
