import { equal } from 'node:assert/strict';
import { test } from 'tap';
import { fileLengthMax } from '../../../src/formats/store/catalog/machine.ts';
import { localFiles } from '../../../src/hypervisors/libvirt/host-files.ts';

test('a file of a host is read up to the length that a recovery point takes, such as variables for ARM', async () => {
  const limits: number[] = [];
  const files = localFiles({
    async readFile(_path, lengthMax) {
      limits.push(lengthMax);
      return new Uint8Array(0);
    },
  });
  await files.read('/nvram', { machine: '1', signal: new AbortController().signal });
  equal(limits[0], fileLengthMax('firmware-vars'));
});
