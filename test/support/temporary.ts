import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A directory that is gone when the test file ends. */
export function temporaryDirectory(parent = tmpdir()): string {
  const path = mkdtempSync(join(parent, 'holdfast-'));
  process.on('exit', () => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** The same in memory, where there is a file system for that: for tests that make many files and lose no power. */
export function temporaryInMemory(): string {
  return temporaryDirectory(existsSync('/dev/shm') ? '/dev/shm' : undefined);
}
