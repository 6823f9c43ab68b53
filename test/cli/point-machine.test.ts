import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { packPath } from '../../src/store/packs/pack-path.ts';
import { expectDone, holdfastIn, runCli } from '../support/cli.ts';
import { backUpDescribed, DEFINITION, notesOf } from '../support/described-points.ts';
import { MACHINE } from '../support/machine-description.ts';
import { noise } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const root = temporaryDirectory();
const { holdfast, backUp, store, passphrase, start } = await holdfastIn(root);
const image = join(root, 'disk.raw');
writeFileSync(image, noise(2 ** 20, 5));
const point = await backUpDescribed(store, 'web1', { image });
const human = (...words: string[]) =>
  runCli([...words, '--store', store, '--passphrase-file', passphrase]);

test('a recovery point shows its machine, its consistency and what was left out', async () => {
  const { result } = await expectDone(holdfast('backup', 'show', 'web1@latest'));
  deepEqual(result['consistency'], notesOf().consistency);
  equal(result['run'], 'run-1');
  const shown = result['description'] as Record<string, unknown>;
  equal(shown['memory'], MACHINE.memory.bytes);
  equal(shown['secureBoot'], true);
  deepEqual(result['files'], [
    ...(result['files'] as unknown[]).slice(0, 1),
    { name: 'definition.xml', kind: 'definition', size: DEFINITION.length },
    { name: 'nvram.fd', kind: 'firmware-vars', size: 540_672 },
  ]);
  equal(result['definition'], undefined, 'only where it is asked for: it has passwords');
  const { stdout } = await expectDone(human('backup', 'show', 'web1@latest'));
  match(
    stdout,
    /^consistency {5}crash: as after a power cut \(asked: file-system; the guest agent/m,
  );
  match(stdout, /^processors {6}4 x86_64 host-passthrough$/m);
  match(stdout, /^memory {10}4\.00 GiB$/m);
  match(stdout, /^firmware {8}UEFI with Secure Boot$/m);
  match(stdout, /^network card {4}52:54:00:12:34:56 virtio, connected to br0, VLAN 12$/m);
  match(stdout, /^LEFT OUT {8}sda \(sata\), removable: a CD-ROM drive$/m);
  ok(!stdout.includes('geheim'));
});

test("the hypervisor's own definition comes out as it went in", async () => {
  const { stdout } = await expectDone(human('backup', 'show', point.id, '--definition'));
  equal(stdout, DEFINITION);
  const { result } = await expectDone(holdfast('backup', 'show', point.id, '--definition'));
  equal(result['definition'], DEFINITION);
});

test('without the key, a list says the run and the consistency, and nothing else of the machine', async () => {
  const list = (...more: string[]) =>
    expectDone(runCli(['backup', 'list', '--store', store, '--json', ...more]));
  const { result, stdout } = await list('--run', 'run-1');
  const [first] = result['points'] as Record<string, unknown>[];
  equal(first!['point'], point.id);
  deepEqual(first!['consistency'], notesOf().consistency);
  ok(!stdout.includes(MACHINE.ids.uuid));
  deepEqual((await list('--run', 'run-2')).result['points'], []);
});

test('a recovery point of disk images says that it has no definition', async () => {
  await expectDone(backUp('plain', [`vda=${image}`]));
  const { result, stdout } = await expectDone(holdfast('backup', 'show', 'plain@latest'));
  deepEqual(result['files'], []);
  ok(!/consistency|description|run"/.test(stdout));
  const refused = await holdfast('backup', 'show', 'plain@latest', '--definition');
  equal(refused.code, 5);
  match(refused.stderr, /has no definition of its machine: it was made of disk images/);
});

test('a session that is kept has the machine of its recovery point, and no claim of its own', async () => {
  await using session = await start('recover', point.id);
  const id = session.ready.session;
  const { libvirt } = session.ready as unknown as { readonly libvirt: string };
  match(libvirt, /<controller type='scsi' .*\n.*\n.*\n.*name='vda'>\n.*\n.*\n.*'sda' bus='scsi'/);
  await session.stop('SIGTERM');
  const kept = await expectDone(holdfast('session', 'keep', id));
  const { result } = await expectDone(holdfast('backup', 'show', kept.result['point'] as string));
  equal((result['description'] as Record<string, unknown>)['memory'], MACHINE.memory.bytes);
  deepEqual([result['run'], result['consistency']], [undefined, undefined]);
  const record = await expectDone(holdfast('store', 'cat', 'point', result['point'] as string));
  equal(record.result['tracking'], undefined);
});

test('a file of a machine that rots is found, and the rest of the recovery point stays in use', async () => {
  const [, definition] = point.files!;
  const nodes = await expectDone(holdfast('store', 'cat', 'manifest', point.id, definition!.name));
  equal(nodes.lines[0]!['size'], DEFINITION.length);
  const { pack, offset } = point.files![0]!.reference!;
  const file = openSync(packPath(join(store, 'packs'), pack), 'r+');
  writeSync(file, 'rotten', offset + 100);
  closeSync(file);
  const checked = await holdfast('store', 'check');
  equal(checked.code, 6);
  const { problems } = checked.lines.find((line) => 'problems' in line) as {
    problems: { where: string }[];
  };
  ok(
    problems.some(({ where }) => where === `${point.id}/machine.json`),
    JSON.stringify(problems),
  );
  const { result } = await expectDone(holdfast('backup', 'show', point.id));
  match(result['unreadable'] as string, /pack/);
  const { stdout } = await expectDone(human('backup', 'show', point.id));
  match(stdout, /^description {5}CANNOT BE READ: /m);
  const to = join(root, 'out.raw');
  await expectDone(holdfast('restore', 'disk', point.id, 'vda', '--to', to));
});

test('a file of a machine that was lost is stored again by the next backup', async () => {
  await backUpDescribed(store, 'web1', { image });
  const { result } = await expectDone(holdfast('backup', 'show', point.id));
  equal((result['description'] as Record<string, unknown>)['memory'], MACHINE.memory.bytes);
  const { problems } = (await expectDone(holdfast('store', 'check'))).result;
  deepEqual(problems, []);
});
