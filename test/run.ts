import { globSync } from 'node:fs';
import { t } from 'tap';

// run.ts [FILE...]: runs test files, all of them if none is named, each in a process of its own; prints TAP. JOBS=3 in
// the environment: three of them at a time instead of two.
//
// `tap run` does the same, but loads its hooks for coverage and mocks into each of these processes and into each Node
// that they start. No test uses those, and they took up to a fifth of the processor's time.

const JOBS = Number(process.env['JOBS'] ?? 2);
/** Whole boots under emulation take minutes on a small machine. */
const LIMIT_S = 900;

const named = process.argv.slice(2);
const files = named.length > 0 ? named : globSync('test/**/*.test.ts').toSorted();
t.setTimeout(0);
t.jobs = JOBS;
for (const file of files) {
  // Even t.spawn() asks for the hooks, in this variable.
  void t.spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, file], {
    ...{ name: file, at: null, stack: '', buffered: true, timeout: LIMIT_S * 1000 },
    env: { ...process.env, TAP_TIMEOUT: String(LIMIT_S) },
  });
}
