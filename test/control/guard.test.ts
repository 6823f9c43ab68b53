import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'tap';
import { standingAlarms } from '../../src/alarms/alarm-book.ts';
import { stands } from '../../src/alarms/alarm-state.ts';
import { type Guard, openGuard } from '../../src/control/guard.ts';
import type { ResultOf } from '../../src/protocol/operations.ts';
import type { FileSystem } from '../../src/sys/file-system.ts';
import { crashingFs } from '../support/crashing-fs.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { broken, faultyFs } from '../support/faulty-fs.ts';
import { seeded } from '../support/random.ts';
import { simulatedWorld } from '../support/store.ts';

async function disk(): Promise<FileSystem> {
  const { files } = crashingFs(seeded(1));
  for (const path of ['/store', '/box']) await files.makeDirectory(path);
  return files;
}

async function guardOn(files: FileSystem, time: string): Promise<Guard> {
  const clock = fakeClock(time);
  return openGuard({
    ...{ world: { ...simulatedWorld(files), clock }, directory: '/store', boxDirectory: '/box' },
    rules: () => ({ latePeriods: 2, persons: 1, warnPercent: 85, criticalPercent: 95 }) as never,
    ownConditions: () => [],
    senders: { webhook: () => undefined, mail: () => undefined },
    tell() {},
    log() {},
  });
}

const standing = ({ alarms }: Guard) =>
  alarms
    .list()
    .filter(stands)
    .map(({ id }) => id);

test('damage that a check found stays until one that looks at as much, with all keys, finds none', async () => {
  await using guard = await guardOn(await disk(), '2026-11-21T12:00:00Z');
  const problem = { where: '/store/packs/1', what: 'at 32: it fails its checksum' };
  async function checked(readData: boolean, problems: object[], locked: string[]) {
    const result = { problems, locked, packs: 1, points: 1 } as unknown as ResultOf<'store/check'>;
    await guard.finished('store/check', { readData }, result);
    return standing(guard);
  }
  deepEqual(await checked(true, [problem], []), ['damage:contents']);
  deepEqual(await checked(true, [], ['nightly']), ['damage:contents'], 'a set was locked');
  deepEqual(await checked(false, [], []), ['damage:contents'], 'contents were not read');
  deepEqual(await checked(true, [], []), []);
  deepEqual(await checked(false, [problem], []), ['damage:structure']);
  deepEqual(await checked(true, [], []), []);
});

test('a clock that jumped is not trusted before its alarm is on the disk', async () => {
  const files = await disk();
  await (await guardOn(files, '2026-11-21T12:00:00Z'))[Symbol.asyncDispose]();
  const failing = faultyFs(files, (operation, path) =>
    operation === 'create' && path.includes('alarms.json') ? broken(path) : undefined,
  );
  const later = '2028-11-21T12:00:00Z';
  await (await guardOn(failing, later))[Symbol.asyncDispose]();
  equal((await standingAlarms(files, '/store', 'clock-jump')).length, 0);
  await (await guardOn(files, later))[Symbol.asyncDispose]();
  equal((await standingAlarms(files, '/store', 'clock-jump')).length, 1);
});
