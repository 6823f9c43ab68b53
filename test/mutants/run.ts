import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { mutants } from './all.ts';
import type { Mutant } from './mutant.ts';

/*
 * Makes each mutant in a copy of the project and runs the tests that must die of it: `npm run test:mutants`, or with
 * words to take only mutants whose names or files have one of them. Ends with 1 where one survives.
 */
const ROOT = join(import.meta.dirname, '../..');
const LEFT_OUT = new Set(['node_modules', '.git', '.tap']);
/** A mutant may make a test wait for ever; a busy machine makes it slower than it was without. */
const LIMIT_MS = 600_000;
const LIMIT_MIN_MS = 60_000;
const SLOWER = 8;

const words = process.argv.slice(2);
const chosen = mutants.filter(
  ({ name, file }) =>
    words.length === 0 || words.some((word) => name.includes(word) || file.includes(word)),
);
const copy = mkdtempSync(join(tmpdir(), 'holdfast-mutants-'));
process.on('exit', () => rmSync(copy, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));
cpSync(ROOT, copy, { recursive: true, filter: (path) => !LEFT_OUT.has(basename(path)) });
symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));

/** How long each takes without any mutant. */
const durations = new Map<string, number>();

/** Undefined: it passes. */
function failureOf(test: string): string | undefined {
  const usual = durations.get(test);
  const { status, signal, stdout } = spawnSync(process.execPath, [test], {
    cwd: copy,
    env: { ...process.env, TAP_TYPE_STRIP_ONLY: '1', TAP_TIMEOUT: '0', SEEDS: '1' },
    timeout: usual === undefined ? LIMIT_MS : Math.max(LIMIT_MIN_MS, Math.round(SLOWER * usual)),
    killSignal: 'SIGKILL',
    maxBuffer: 2 ** 28,
    encoding: 'utf8',
  });
  if (status === 0) return undefined;
  const first = /^ *not ok \d+ - (.*)$/m.exec(stdout)?.[1];
  return `${test}: ${signal === null ? (first ?? `exit ${status}`) : 'it does not end'}`;
}

/** What the first test that dies says; undefined: it survives. */
function killerOf({ file, text, to, tests }: Mutant): string | undefined {
  const path = join(copy, file);
  const before = readFileSync(path, 'utf8');
  writeFileSync(
    path,
    before.replace(text, () => to),
  );
  try {
    for (const test of tests) {
      const failure = failureOf(test);
      if (failure !== undefined) return failure;
    }
    return undefined;
  } finally {
    writeFileSync(path, before);
  }
}

const survivors: string[] = [];
for (const mutant of chosen) {
  for (const test of mutant.tests) {
    if (durations.has(test)) continue;
    const start = performance.now();
    const failure = failureOf(test);
    if (failure !== undefined) throw new Error(`without any mutant: ${failure}`);
    durations.set(test, performance.now() - start);
  }
  const killer = killerOf(mutant);
  if (killer === undefined) survivors.push(mutant.name);
  console.log(`${killer === undefined ? 'SURVIVED' : 'killed  '}  ${mutant.name}`);
  if (killer !== undefined) console.log(`          ${killer.slice(0, 160)}`);
}
console.log(`\n${chosen.length - survivors.length} killed, ${survivors.length} survived`);
for (const name of survivors) console.log(`  ${name}`);
process.exitCode = survivors.length > 0 ? 1 : 0;
