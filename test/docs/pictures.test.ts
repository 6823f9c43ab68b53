import { equal } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'tap';
import { pictures } from './pictures.ts';

for (const [path, text] of pictures()) {
  test(`${path} shows what there is today`, async () => {
    equal(readFileSync(path, 'utf8'), text, 'draw it again: npm run docs:pictures');
  });
}
