import { deepEqual, ok } from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { mutants } from './all.ts';

const ROOT = join(import.meta.dirname, '../..');

function occurrences(text: string, part: string): number {
  return text.split(part).length - 1;
}

test('each mutant still fits the code that it changes: else rewrite it, or take it out', async () => {
  const wrong = mutants.flatMap(({ name, file, text, to }) => {
    const found = existsSync(join(ROOT, file)) ? readFileSync(join(ROOT, file), 'utf8') : '';
    const count = occurrences(found, text);
    if (count !== 1) return [`${name}: ${file} has its text ${count} times, not once`];
    return text === to ? [`${name}: it changes nothing`] : [];
  });
  deepEqual(wrong, []);
});

test('each mutant has a name of its own, and tests that are there', async () => {
  ok(mutants.length >= 120, `${mutants.length} mutants`);
  const names = mutants.map(({ name }) => name);
  deepEqual(
    names.filter((name, at) => names.indexOf(name) !== at),
    [],
  );
  const tests = new Set(mutants.flatMap(({ tests }) => tests));
  deepEqual(
    [...tests].filter((path) => !existsSync(join(ROOT, path))),
    [],
  );
  ok(mutants.every(({ tests }) => tests.length > 0));
});
