import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { lastProof } from '../../src/catalog/proofs.ts';
import { openPoint } from '../../src/engine/base/engine.ts';
import { verifyPoint } from '../../src/engine/verify/verify-point.ts';
import { OPERATIONS, type ResultOf } from '../../src/operations/operations.ts';
import { parse } from '../../src/lib/schema.ts';
import { engineIn, KEY } from '../support/engine.ts';
import {
  bootSector,
  proofDisk,
  proofGuestMissing,
  restartingSector,
} from '../support/proof-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// Recovery points that work and that do not, booted by Debian's QEMU, under emulation.

const skip = proofGuestMissing;
const root = temporaryDirectory();
const home = skip ? undefined : await engineIn(root);

type Verified = ResultOf<'verify/point'>['proof'] & { readonly point: string };

/** What "verify" says of a disk, after it was backed up. */
async function verified(machine: string, image: string, asked: object = {}): Promise<Verified> {
  const { point } = await home!.backUp(machine, image);
  await using engine = await home!.open();
  const request = parse(OPERATIONS['verify/point'].request, { point, accel: 'tcg', ...asked });
  const signal = new AbortController().signal;
  const { proof } = await verifyPoint(engine, request, { secrets: KEY, signal, report() {} });
  return { ...proof, point };
}

function imageOf(name: string, bytes: Uint8Array): string {
  const path = join(root, `${name}.raw`);
  writeFileSync(path, bytes);
  return path;
}

test('a point that works is proven by its agent, its ports, its web server and its login', {
  skip,
}, async () => {
  const image = join(root, 'good.raw');
  await proofDisk(image, { end: 'up', console: 'ttyS0' });
  const checks = { agent: true, port: [80], http: ['80/index.html'], text: ['proof login:'] };
  const found = await verified('good', image, checks);
  equal(found.verdict, 'proven', found.reason);
  equal(found.state, 'works');
  deepEqual(
    found.checks.map(({ kind, outcome }) => `${kind} ${outcome}`),
    ['boot passed', 'agent passed', 'serial passed', 'port passed', 'http passed'],
  );
  ok(found.bootMs !== null && found.readBytes > 2 ** 20 && found.writtenBytes >= 2 ** 20);
  deepEqual(readdirSync(join(home!.store, 'verify')), [], 'nothing of it stays');
  await using engine = await home!.open();
  const { set } = await openPoint(engine, found.point, KEY);
  const kept = await lastProof(engine.store, set, found.point);
  equal(kept?.verdict, 'proven');
  match(kept.serial, /proof login:/);
  deepEqual([...kept.screenshot!.subarray(1, 4)], [...Buffer.from('PNG')]);
});

test('a kernel that panics on a screen is told by the text on the screen', { skip }, async () => {
  const image = join(root, 'panic.raw');
  await proofDisk(image, { end: 'panic', console: 'tty0' });
  const found = await verified('panic', image);
  equal(found.state, 'panic', found.reason);
  match(found.screenText ?? '', /Kernel panic - not syncing: Attempted to kill init!/);
});

test('a system that waits in an emergency shell is told by its serial line', { skip }, async () => {
  const image = join(root, 'emergency.raw');
  await proofDisk(image, { end: 'emergency', console: 'ttyS0' });
  const found = await verified('emergency', image);
  equal(found.state, 'emergency', found.reason);
});

const GRUB = 'GRUB loading.\nerror: unknown filesystem.\nEntering rescue mode...\ngrub rescue> ';
const BROKEN = [
  ['boot-loader', bootSector(GRUB), 'grub rescue>'],
  ['no-boot-device', new Uint8Array(2 ** 21).fill(1), 'No bootable device'],
  ['reboot-loop', restartingSector(), ''],
] as const;

for (const [state, bytes, shown] of BROKEN) {
  test(`a disk without a system that boots: ${state}`, { skip }, async () => {
    const found = await verified(state, imageOf(state, bytes));
    equal(found.state, state, found.reason);
    equal(found.verdict, 'failed');
    ok((found.screenText ?? '').includes(shown), found.screenText ?? 'no text');
  });
}

test('a guest without a network has no open port, though QEMU takes the connection', {
  skip,
}, async () => {
  const asked = { timeout: 8, port: [80], http: ['80'] };
  const found = await verified('hangs', imageOf('hangs', bootSector('.')), asked);
  ok(['slow', 'hangs'].includes(found.state), found.reason);
  const [, port, http] = found.checks;
  equal(port!.outcome, 'failed');
  match(port!.detail, /does not answer|not tried yet/);
  equal(http!.outcome, 'failed');
});
