import { ok } from 'node:assert/strict';
import { test } from 'tap';
import { FILE_KINDS } from './classes.ts';
import { flips } from './flips.ts';

const SEED = Number(process.env['SEED'] ?? 1);
const COUNT = Number(process.env['FLIPS'] ?? 500);

test(`${COUNT} times something of a store is damaged: right bytes, or an error that names the file (SEED=${SEED})`, {
  timeout: 600_000,
}, async () => {
  const tries = await flips(COUNT, SEED);
  if (COUNT >= 500) ok(FILE_KINDS.every((kind) => (tries.get(kind) ?? 0) > 0));
});
