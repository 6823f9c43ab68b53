import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { type CliProcess, holdfastIn, spawnCliIn } from '../support/cli.ts';
import { backUpDescribed, notesOf } from '../support/described-points.ts';
import { MACHINE } from '../support/machine-description.ts';
import { bootSector, proofGuestMissing } from '../support/proof-guest.ts';
import { program, without } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { until } from '../support/until.ts';

const skip = proofGuestMissing || without('swtpm', 'swtpm_setup');
const root = temporaryDirectory();
const { holdfast, store, passphrase } = await holdfastIn(root);

/** The state of a new TPM. */
async function tpmState(): Promise<Uint8Array> {
  const directory = join(root, 'tpm');
  mkdirSync(directory);
  await program('swtpm_setup', '--tpm2', '--tpmstate', directory, '--config', '/dev/null');
  return readFileSync(join(directory, 'tpm2-00.permall'));
}

/** QEMUs of this test, by their command lines. */
function guestsOf(id: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(id);
    } catch {
      return false;
    }
  });
}

const secrets = ['--store', store, '--passphrase-file', passphrase];

test('a machine with its SCSI disk, its cards and its TPM is booted, and a point that fails is exit code 10', {
  skip,
}, async () => {
  const image = join(root, 'web1.raw');
  writeFileSync(image, bootSector('\u001b[31mMissing operating system'));
  const { files, ...notes } = notesOf({ ...MACHINE, firmware: { kind: 'bios' } });
  const tpm = { name: 'tpm', kind: 'tpm-state', bytes: await tpmState() } as const;
  const noted = { ...notes, files: [...files!, tpm] };
  const { id } = await backUpDescribed(store, 'web1', { image, notes: noted });
  const picture = join(root, 'web1.png');
  const ended = await holdfast('verify', id, '--accel', 'tcg', '--screenshot', picture);
  equal(ended.code, 10, ended.stderr);
  const [shown] = ended.lines.filter((it) => 'proof' in it) as { proof: Record<string, unknown> }[];
  equal(shown!.proof['state'], 'boot-loader');
  deepEqual(shown!.proof['without'], [], 'nothing of it is left out');
  equal(readFileSync(picture).subarray(1, 4).toString(), 'PNG');
  match(ended.stderr + ended.stdout, /is not proven: boot-loader/);
  const again = await holdfast('verify', id, '--accel', 'tcg', '--screenshot', picture);
  ok(again.code !== 10 && again.code !== 0, 'a picture that is there is not replaced');
});

const parent = join(store, 'verify');

/** A boot of a guest that only waits, in a process of its own. */
async function booting(
  point: string,
): Promise<{ readonly child: CliProcess; readonly id: string }> {
  const words = ['verify', point, '--firmware', 'bios', '--accel', 'tcg', ...secrets];
  const child = spawnCliIn([], words);
  let id = '';
  await until('QEMU runs', () => {
    id = readdirSync(parent).find((it) => /^[0-9a-f]{16}$/.test(it)) ?? '';
    return id !== '' && guestsOf(`verify-${id}/qmp`).length > 0;
  });
  return { child, id };
}

test('a boot that is interrupted leaves nothing', { skip }, async () => {
  const image = join(root, 'waits.raw');
  writeFileSync(image, bootSector('.'));
  const { id: point } = await backUpDescribed(store, 'waits', { image });
  const { child, id } = await booting(point);
  child.kill('SIGINT');
  const [code] = (await once(child, 'close')) as [number | null];
  equal(code, 130);
  deepEqual(readdirSync(parent), []);
  deepEqual(guestsOf(`verify-${id}/`), []);
});

test('a boot whose process is killed ends at once, and the next one removes what it has left', {
  skip,
}, async () => {
  const image = join(root, 'hangs.raw');
  writeFileSync(image, bootSector('.'));
  const { id: point } = await backUpDescribed(store, 'hangs', { image });
  const { child, id } = await booting(point);
  child.kill('SIGKILL');
  await once(child, 'close');
  await until('QEMU is gone', () => guestsOf(`verify-${id}/`).length === 0);
  ok(readdirSync(parent).includes(id), 'a killed process removes nothing');
  const next = await holdfast('verify', 'web1@latest', '--accel', 'tcg');
  equal(next.code, 10, next.stderr);
  deepEqual(readdirSync(parent), []);
});
