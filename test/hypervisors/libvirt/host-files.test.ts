import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { fileLengthMax } from '../../../src/formats/store/catalog/machine.ts';
import { localFiles, steadyBytes } from '../../../src/hypervisors/libvirt/host-files.ts';
import { fakeClock } from '../../support/fake-clock.ts';

const signal = AbortSignal.timeout(60_000);
const quick = { clock: { ...fakeClock('2026-11-30T00:00:00Z'), sleep: async () => {} } };

/** Finds these contents one after the other, and the last for ever. */
function fileOf(...contents: readonly string[]) {
  let reads = 0;
  return {
    read: async () => Buffer.from(contents[Math.min(reads++, contents.length - 1)]!),
    reads: () => reads,
  };
}

test('a file that its machine is writing is read until it is whole', async () => {
  for (const [contents, reads] of [
    [['state'], 2],
    [['', '', 'state'], 4],
    [['sta', 'state', 'state'], 3],
  ] as const) {
    const file = fileOf(...contents);
    deepEqual(await steadyBytes(quick, file.read, signal), Buffer.from('state'));
    equal(file.reads(), reads, contents.join(', '));
  }
});

test('a file that stays empty, or never rests, is not taken for what a machine has', async () => {
  const empty = { code: 'BUSY', message: 'its file is empty: back the machine up again' };
  await rejects(steadyBytes(quick, fileOf('').read, signal), empty);
  let count = 0;
  const restless = async () => Buffer.from(String(count++));
  const changing = { code: 'BUSY', message: /^its file changes all the time/ };
  await rejects(steadyBytes(quick, restless, signal), changing);
});

test('a file of a host is read up to the length that a recovery point takes, such as variables for ARM', async () => {
  const limits: number[] = [];
  const files = localFiles({
    async readFile(_path, lengthMax) {
      limits.push(lengthMax);
      return new Uint8Array(0);
    },
  });
  await files.read('/nvram', { machine: '1', signal });
  equal(limits[0], fileLengthMax('firmware-vars'));
});
