import { deepEqual, equal, match } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { expectDone } from '../support/cli.ts';
import { bootSector, proofDisk, proofGuestMissing } from '../support/proof-guest.ts';
import { alarmed, serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { until } from '../support/until.ts';

// Proofs by jobs of the service, booted by Debian's QEMU, under emulation.

const skip = proofGuestMissing;

test('a machine that does not boot is an alarm, until its next backup is proven', {
  skip,
}, async () => {
  const root = temporaryDirectory();
  const home = serviceHome(root);
  const { holdfast } = home;
  const bad = join(root, 'bad.raw');
  writeFileSync(bad, bootSector('Missing operating system'));
  await using service = await serviceWith(home, bad);
  const failed = await holdfast('verify', 'latest', 'nightly', '--accel', 'tcg');
  equal(failed.code, 10, failed.stderr);
  const { points } = failed.lines.find((line) => 'points' in line) as never as {
    readonly points: readonly { readonly machine: string; readonly state: string }[];
  };
  deepEqual(
    points.map(({ machine, state }) => [machine, state]),
    [['vm', 'boot-loader']],
  );
  await alarmed(holdfast, /proof-failed:nightly\/vm/);

  const good = join(root, 'good.raw');
  await proofDisk(good, { end: 'up', console: 'ttyS0' });
  const again = ['backup', 'create', 'nightly', '--machine', 'vm', '--disk', `vda=${good}`];
  const { result: job } = await expectDone(holdfast(...again, '--queue', '--then-verify'));
  const follower = `${String(job['job'])}-verify`;
  await until('the proof of the new point is ordered', async () => {
    return (await holdfast('job', 'show', follower)).code === 0;
  });
  const { result: ended } = await expectDone(holdfast('job', 'attend', follower));
  equal(ended['state'], 'done', String(ended['reason']));
  const { result: list } = await expectDone(holdfast('backup', 'list'));
  deepEqual(
    (list['points'] as { proof: { verdict: string } }[]).map(({ proof }) => proof.verdict),
    ['failed', 'proven'],
  );
  await until('the alarm has ended', async () => {
    return !/proof-failed/.test((await expectDone(holdfast('alarm', 'list'))).stdout);
  });
  const { stdout: log } = await expectDone(holdfast('job', 'log', follower));
  match(log, /QEMU runs the machine/);
  await service.stop('SIGTERM');
});
