import { deepEqual } from 'node:assert/strict';
import { test } from 'tap';
import type { Operation } from '../../src/operations/base/operation.ts';
import { OPERATIONS } from '../../src/operations/operations.ts';

const ALL = Object.values<Operation>(OPERATIONS);

test('what an operation changes is shown by a query', async () => {
  const shown = new Set(ALL.flatMap(({ shows }) => shows));
  const unseen = ALL.flatMap(({ name, changes }) =>
    changes.filter((noun) => !shown.has(noun)).map((noun) => `${name}: ${noun}`),
  );
  deepEqual(unseen, []);
});

test('a query shows nouns that there are', async () => {
  const nouns = new Set(ALL.map(({ name }) => name.split('/')[0]!));
  const unknown = ALL.flatMap(({ name, shows }) =>
    shows.filter((noun) => !nouns.has(noun)).map((noun) => `${name}: ${noun}`),
  );
  deepEqual(unknown, []);
});
