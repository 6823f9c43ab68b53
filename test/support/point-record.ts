import type { PointRecord } from '../../src/formats/store/catalog/point.ts';
import { pattern } from './random.ts';

/** With all fields but a parent. */
export const POINT: PointRecord = {
  id: 'vm1-20261121T013000Z-a3f9c2',
  set: 'nightly',
  machine: 'vm1',
  created: '2026-11-21T01:30:00.000Z',
  sequence: 7,
  previous: { id: 'vm-0', sequence: 1, digest: pattern(32, 9) },
  parent: undefined,
  origin: 'backup',
  disks: [
    {
      name: 'vda',
      size: 2 ** 43,
      source: '/images/ü "x".raw',
      reference: { pack: 2 ** 32 - 1, offset: 7, length: 80, digest: pattern(32, 5) },
    },
    { name: 'vdb', size: 512, source: 'nbd://h/x', reference: undefined },
  ],
  stats: { readBytes: 1, storedBytes: 2 },
};
