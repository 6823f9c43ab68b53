import type { PointRecord } from '../../src/formats/store/catalog/point.ts';
import { pattern } from './random.ts';

/** With all fields but a parent and those of MACHINE_FIELDS. */
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

/** What a hypervisor's backup adds to it. */
export const MACHINE_FIELDS = {
  files: [
    {
      name: 'machine.json',
      kind: 'description',
      size: 1500,
      reference: { pack: 1, offset: 64, length: 80, digest: pattern(32, 6) },
    },
    { name: 'nvram.fd', kind: 'firmware-vars', size: 540_672, reference: undefined },
  ],
  consistency: { asked: 'file-system', got: 'crash', why: 'the guest agent does not answer' },
  run: 'nightly-20261121T013000Z-a3f9',
  tracking: { kind: 'libvirt', checkpoint: 'holdfast-vm1-20261121T013000Z-a3f9c2' },
} as const;
