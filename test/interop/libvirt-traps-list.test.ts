import { deepEqual, ok } from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { test } from 'tap';

test('the list of what happens to machines of libvirt names promises that are tested, and where', async () => {
  const list = readFileSync('test/interop/libvirt-traps.md', 'utf8');
  const rows = [...list.matchAll(/\| (CI|long) +\| `(test\/[^`]+)`: (.+?) +\|$/gm)];
  ok(rows.length > 20);
  const inCi = readFileSync('test/hypervisors/libvirt.test.ts', 'utf8');
  const inLong = readFileSync('test/hypervisors/libvirt.long.ts', 'utf8');
  const conformance = readFileSync('test/hypervisors/conformance.ts', 'utf8');
  const runs = (file: string): string | undefined => {
    if (file.endsWith('.test.ts')) return 'CI';
    if (file.endsWith('.long.ts')) return 'long';
    const imported = `'./${basename(file)}'`;
    if (inCi.includes(imported)) return 'CI';
    return [inLong, conformance].some((it) => it.includes(imported)) ? 'long' : undefined;
  };
  const wrong = rows.filter(
    ([, where, file = '', promise = '']) =>
      !existsSync(file) || !readFileSync(file, 'utf8').includes(promise) || runs(file) !== where,
  );
  deepEqual(
    wrong.map(([row]) => row),
    [],
  );
});
