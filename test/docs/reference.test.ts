import { equal } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'tap';
import { REFERENCE, withCommands } from './reference.ts';

test('the chapter about commands has each of them, as the program says it', async () => {
  const page = readFileSync(REFERENCE, 'utf8');
  equal(page, await withCommands(page), 'write it again: npm run docs:reference');
});
