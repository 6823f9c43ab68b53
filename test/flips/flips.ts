import { deepEqual } from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { realWorld } from '../../src/sys/world.ts';
import { seeded } from '../support/random.ts';
import { temporaryInMemory } from '../support/temporary.ts';
import type { FileKind } from './classes.ts';
import { type Damage, filesOf, harm } from './damage.ts';
import { makePlace } from './place.ts';
import { complaintOf, type Findings, mend, probe } from './probe.ts';

/** The limit of one try, which takes less than a second; a machine may be very busy. */
const LIMIT_MS = 300_000;
const SHOWN_MAX = 20;

/** Harms a store `count` times, each time a fresh copy of it, and looks what comes of that. */
export async function flips(count: number, seed: number): Promise<ReadonlyMap<FileKind, number>> {
  const root = temporaryInMemory();
  const original = await makePlace(realWorld(), join(root, 'original'));
  const files = filesOf(original.directory);
  const random = seeded(seed);
  const tries = new Map<FileKind, number>();
  const wrong: string[] = [];
  for (let n = 0; n < count && wrong.length < SHOWN_MAX; n++) {
    const directory = join(root, 'copy');
    rmSync(directory, { recursive: true, force: true });
    // The holes of its segments stay holes: Node's own copy fills 30 MB of memory with zeros each time.
    execFileSync('cp', ['-a', '--sparse=always', original.directory, directory]);
    const damage = harm(directory, files, random);
    tries.set(damage.kind, (tries.get(damage.kind) ?? 0) + 1);
    const withBackup = damage.kind.name === 'index' || damage.kind.class === 'copy' || n % 10 === 0;
    const found = await within(LIMIT_MS, damage, probe({ ...original, directory }, { withBackup }));
    const hasCopies = damage.paths.every((path) =>
      existsSync(join(original.directory, 'copies', path)),
    );
    const left =
      withBackup || damage.isHarmless || !hasCopies
        ? []
        : await notMended(original.directory, directory, damage);
    wrong.push(...[...verdict(damage, found), ...left].map((it) => `#${n} ${damage.what}: ${it}`));
  }
  deepEqual(wrong, []);
  return tries;
}

/** Files that a repair has not put back from their copies. */
async function notMended(
  original: string,
  directory: string,
  { paths }: Damage,
): Promise<string[]> {
  await mend(directory);
  return paths
    .filter((path) => {
      const now = existsSync(join(directory, path))
        ? readFileSync(join(directory, path))
        : undefined;
      return now === undefined || !readFileSync(join(original, path)).equals(now);
    })
    .map((path) => `${path} is not repaired`);
}

/** What must not be so. */
function verdict({ kind, damage, paths, isHarmless }: Damage, found: Findings): string[] {
  const { problems, refusals, wrong, told } = found;
  const isOpen = kind.open?.some((it) => it.damage.includes(damage)) === true;
  const isIdle = kind.idle?.some((it) => it.damage.includes(damage)) === true;
  const complaints = refusals.flatMap((it) => complaintOf(it, paths) ?? []);
  if (isHarmless) return [...complaints, ...wrong.map((what) => `${what} is wrong`)];
  const bytes = isOpen ? [] : wrong.map((what) => `${what} is wrong, without a word`);
  const verdicts = [...complaints, ...bytes];
  if (kind.class === 'cache') {
    verdicts.push(...refusals.map(({ of, error }) => `${of}: ${(error as Error).message}`));
  } else if (kind.class === 'book') {
    if (damage !== 'delete' && damage !== 'truncate' && told.length === 0) {
      verdicts.push('nothing reports it');
    }
  } else if (!isOpen && !isIdle && problems?.length === 0) {
    verdicts.push('check finds no damage');
  }
  return verdicts;
}

async function within<T>(limitMs: number, { what }: Damage, work: Promise<T>): Promise<T> {
  const over = Promise.withResolvers<never>();
  const timer = setTimeout(() => over.reject(new Error(`${what}: it hangs`)), limitMs);
  try {
    return await Promise.race([work, over.promise]);
  } finally {
    clearTimeout(timer);
  }
}
