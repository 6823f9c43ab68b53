import { execFileSync, spawnSync } from 'node:child_process';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from './temporary.ts';

const CHECKOUT = new URL('../..', import.meta.url).pathname;
/** The first release, of 22 November, whose stores have version 1. */
const RELEASE_1 = 'b069473b';

/** The command line of the release of 22 November; undefined: a shallow clone has no commit of it. */
export function oldRelease() {
  const git = ['-C', CHECKOUT];
  const found = spawnSync('git', [...git, 'cat-file', '-e', `${RELEASE_1}^{commit}`]);
  if (found.status !== 0) return undefined;
  const directory = temporaryDirectory();
  const options = { maxBuffer: 256 * 2 ** 20 };
  const paths = ['src', 'package.json'];
  const archive = execFileSync('git', [...git, 'archive', RELEASE_1, ...paths], options);
  execFileSync('tar', ['-x', '-C', directory], { input: archive });
  symlinkSync(join(CHECKOUT, 'node_modules'), join(directory, 'node_modules'));
  return (...args: string[]) => {
    const words = [join(directory, 'src/cli/main.ts'), ...args];
    const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
    return { code: status, stdout, stderr };
  };
}
