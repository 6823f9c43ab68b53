import { deepEqual, ok } from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'tap';

const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  readonly scripts: Readonly<Record<string, string>>;
};

for (const page of ['CONTRIBUTING.md', 'README.md']) {
  test(`the scripts and files that ${page} names are there`, async () => {
    const text = readFileSync(page, 'utf8');
    const named = [...text.matchAll(/\bnpm run (?:-s )?([a-z:]+)/g)].map(([, name]) => name!);
    ok(named.length > 0);
    deepEqual(
      named.filter((name) => !Object.hasOwn(scripts, name)),
      [],
    );
    const paths = [...text.matchAll(/\b(?:src|test|appliance|docs|bench)\/[\w./-]*\w/g)];
    deepEqual(
      paths.map(([path]) => path).filter((path) => !existsSync(path)),
      [],
    );
  });
}
