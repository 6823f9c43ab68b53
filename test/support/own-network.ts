import { spawnSync } from 'node:child_process';
import { libc } from '../../src/sys/base/libc.ts';
import { without } from './programs.ts';

const CLONE_NEWNET = 0x40000000;

/**
 * Moves this test file, and what it starts from now on, into a network of its own, which has nothing but `lo`: every
 * port is free there, whatever listens on this machine. For good; to be called before anything listens or connects.
 * Returns false, or the reason to skip the tests that need it.
 */
export function enterOwnNetwork(): string | false {
  if (process.getuid?.() !== 0) return 'only root may make a network of its own';
  const missing = without('ip');
  if (missing) return missing;
  if (libc().unshare(CLONE_NEWNET) !== 0) {
    return `this machine allows no network of its own: errno ${libc().errno()}`;
  }
  const { status, stderr } = spawnSync('ip', ['link', 'set', 'lo', 'up'], { encoding: 'utf8' });
  return status !== 0 && `no loopback in a network of its own: ${stderr.trim()}`;
}
