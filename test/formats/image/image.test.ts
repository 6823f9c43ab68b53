import { deepEqual, equal, ok } from 'node:assert/strict';
import * as fc from 'fast-check';
import { test } from 'tap';
import { foreignName } from '../../../src/formats/image/foreign-magic.ts';
import { decodeQcow2Header } from '../../../src/formats/image/qcow2.ts';
import { decodeVdiHeader } from '../../../src/formats/image/vdi.ts';
import {
  decodeVhdDynamicHeader,
  decodeVhdFooter,
  vhdBlocksEnd,
} from '../../../src/formats/image/vhd.ts';
import { decodeVhdxMetadata, vhdxMetadataOffset } from '../../../src/formats/image/vhdx.ts';
import {
  decodeVmdkDescriptor,
  decodeVmdkSparseHeader,
  VMDK_DESCRIPTOR_LENGTH_MAX,
} from '../../../src/formats/image/vmdk.ts';

const KiB = 1024;
const DESCRIPTOR = '# Disk DescriptorFile\n';

/** With what makes each go on to look at the fields. */
const DECODERS: readonly (readonly [string, number, (bytes: Uint8Array) => unknown])[] = [
  ['QFI\xfb\0\0\0\x03', 2 * KiB, decodeQcow2Header],
  [`${'\0'.repeat(64)}\x7f\x10\xda\xbe`, 512, decodeVdiHeader],
  ['conectix', 512, decodeVhdFooter],
  ['cxsparse', KiB, decodeVhdDynamicHeader],
  ['', KiB, (bytes) => vhdBlocksEnd(bytes, 2 ** 32 - 1)],
  ['regi', 64 * KiB, vhdxMetadataOffset],
  ['metadata', 128 * KiB, decodeVhdxMetadata],
  ['KDMV', 512, decodeVmdkSparseHeader],
  [DESCRIPTOR, 4 * KiB, decodeVmdkDescriptor],
  ['', 512, foreignName],
];

test('arbitrary and truncated bytes of an image give what is there, or nothing', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), fc.nat(), (noise, cut) => {
      for (const [magic, length, decode] of DECODERS) {
        const bytes = Buffer.alloc(length);
        bytes.set(noise.subarray(0, length));
        bytes.write(magic, 'latin1');
        decode(bytes);
        decode(bytes.subarray(0, cut % length));
      }
    }),
    { numRuns: 200 },
  );
});

test('whatever a descriptor of a VMDK holds, it is read at once', async () => {
  const parts = [
    '\n',
    ' ',
    '\t',
    'RW\n',
    'RW 1\n',
    'RW 1 FLAT\n',
    'parentCID\n',
    'parentCID ',
    '"',
  ];
  for (const part of [...parts, 'x']) {
    const text = DESCRIPTOR + part.repeat(VMDK_DESCRIPTOR_LENGTH_MAX / part.length);
    const start = performance.now();
    decodeVmdkDescriptor(Buffer.from(text));
    const took = performance.now() - start;
    ok(took < 2000, `${JSON.stringify(part)}: ${took} ms`);
  }
});

test('a descriptor of a VMDK is read as QEMU does: an extent may go over the ends of lines', async () => {
  const text = `${DESCRIPTOR}\tparentCID = 12345678\nparentFileNameHint="a b.vmdk"\n  RW\n2048\nFLAT\n"x.raw"\n8\n`;
  deepEqual(decodeVmdkDescriptor(Buffer.from(text)), {
    hasParent: true,
    parent: 'a b.vmdk',
    extents: [{ access: 'RW', length: 2 ** 20, kind: 'FLAT', file: 'x.raw', offset: 4096 }],
  });
});

test('no text of a qcow2 header is longer than a name can be', async () => {
  const bytes = Buffer.alloc(2 ** 20, 'n');
  bytes.write('QFI\xfb\0\0\0\x02', 'latin1');
  bytes.writeBigUInt64BE(4096n, 8);
  bytes.writeUInt32BE(2 ** 20, 16);
  equal(decodeQcow2Header(bytes)!.backing!.length, 1023);
});
