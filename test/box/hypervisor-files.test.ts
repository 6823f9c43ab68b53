import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { openHypervisorFiles, ownHypervisorFiles } from '../../src/box/hypervisor-files.ts';
import type { HypervisorRecord } from '../../src/formats/store/service/hypervisor.ts';
import { realWorld } from '../../src/sys/world.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const RECORD: HypervisorRecord = {
  ...{ name: 'kvm1', kind: 'libvirt', uri: 'qemu+ssh://holdfast@kvm1/system' },
  identity: { kind: 'ssh-key', type: 'ssh-ed25519', key: 'AAAA' },
  added: '2026-11-30T02:00:00.000Z',
  ...{ sockets: undefined, scratch: '/scratch' },
  ...{ contact: undefined, failure: undefined },
};
const KEY = 'a private key\n';

function place() {
  const root = temporaryDirectory();
  const directory = join(root, 'state', 'hypervisors');
  const credentials = join(root, 'credentials');
  const open = () => openHypervisorFiles(realWorld(), { directory, credentials });
  return { directory, credentials, open, at: (name: string) => join(directory, name) };
}

const modeOf = (path: string): number => statSync(path).mode & 0o777;

test('records and keys of hypervisors are for their owner alone', async () => {
  const { directory, open, at } = place();
  await open().add(RECORD, KEY);
  const { key, knownHosts } = await open().sshFiles(RECORD);
  deepEqual([key, knownHosts], [at('kvm1.key'), at('kvm1.known_hosts')]);
  equal(readFileSync(key, 'utf8'), KEY);
  equal(readFileSync(knownHosts, 'utf8'), 'kvm1 ssh-ed25519 AAAA\n');
  equal(modeOf(directory), 0o700);
  for (const name of ['kvm1.json', 'kvm1.key', 'kvm1.known_hosts']) equal(modeOf(at(name)), 0o600);
  deepEqual(await open().get('kvm1'), RECORD);
});

test('files that others may use are refused, with the command that closes them', async () => {
  const { directory, open, at } = place();
  await open().add(RECORD, KEY);
  await open().sshFiles(RECORD);
  const refused = (work: Promise<unknown>, fix: string) =>
    rejects(work, (error: Error) => {
      match(error.message, new RegExp(`others may use it; chmod ${fix}$`));
      return true;
    });
  chmodSync(at('kvm1.key'), 0o640);
  await refused(open().sshFiles(RECORD), `600 ${at('kvm1.key')}`);
  chmodSync(at('kvm1.key'), 0o600);
  chmodSync(at('kvm1.known_hosts'), 0o606);
  await refused(open().sshFiles(RECORD), `600 ${at('kvm1.known_hosts')}`);
  chmodSync(at('kvm1.json'), 0o660);
  await refused(open().get('kvm1'), `600 ${at('kvm1.json')}`);
  equal((await open().list()).damaged[0]!.path, at('kvm1.json'));
  chmodSync(at('kvm1.json'), 0o600);
  chmodSync(directory, 0o750);
  await refused(open().get('kvm1'), `700 ${directory}`);
  await refused(open().list(), `700 ${directory}`);
  await refused(open().add({ ...RECORD, name: 'kvm2' }, KEY), `700 ${directory}`);
});

test('of two that add one name at the same time, one is refused and changes nothing', async () => {
  const { open, at } = place();
  const ended = await Promise.allSettled([
    open().add(RECORD, 'first'),
    open().add({ ...RECORD, uri: 'qemu:///system' }, 'second'),
  ]);
  deepEqual(ended.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  const isFirst = ended[0].status === 'fulfilled';
  equal((await open().get('kvm1')).uri, isFirst ? RECORD.uri : 'qemu:///system');
  equal(readFileSync(at('kvm1.key'), 'utf8'), isFirst ? 'first' : 'second');
  await rejects(open().add(RECORD, KEY), /there is a hypervisor "kvm1": "holdfast hypervisor ch/);
});

test('what a removed hypervisor had is gone, and one that cannot be read can be removed', async () => {
  const { directory, open, at } = place();
  await open().add(RECORD, KEY);
  await open().sshFiles(RECORD);
  writeFileSync(at('kvm1.json'), '{', { mode: 0o600 });
  await rejects(open().get('kvm1'), /kvm1\.json cannot be used: record is not JSON/);
  deepEqual((await open().list()).records, []);
  await open().remove('kvm1');
  deepEqual(readdirSync(directory), ['lock']);
  await rejects(open().remove('kvm1'), /there is no hypervisor "kvm1" in /);
});

test('a record under another name than it holds is refused: it would be used with the keys of another', async () => {
  const { open, at } = place();
  await open().add(RECORD, KEY);
  const bytes = readFileSync(at('kvm1.json'));
  writeFileSync(at('kvm2.json'), bytes, { mode: 0o600 });
  await rejects(open().get('kvm2'), {
    code: 'CORRUPT',
    message: /kvm2\.json cannot be used: it is the record of "kvm1"/,
  });
  const { records, damaged } = await open().list();
  deepEqual([records.length, damaged[0]?.path], [1, at('kvm2.json')]);
  await rejects(
    open().change('kvm2', (record) => record),
    { code: 'CORRUPT' },
  );
  // A name that leads elsewhere is that of no hypervisor.
  mkdirSync(join(at('..'), 'other'), { mode: 0o700 });
  writeFileSync(at('../other/kvm1.json'), bytes, { mode: 0o600 });
  await rejects(open().get('../other/kvm1'), { code: 'NOT_FOUND' });
  await rejects(open().remove('../other/kvm1'), { code: 'NOT_FOUND' });
});

test('a host key that was changed in the files of ssh is put right from the record', async () => {
  const { open, at } = place();
  await open().add(RECORD, KEY);
  await open().sshFiles(RECORD);
  writeFileSync(at('kvm1.known_hosts'), 'kvm1 ssh-ed25519 BBBB\n', { mode: 0o600 });
  await open().sshFiles(RECORD);
  equal(readFileSync(at('kvm1.known_hosts'), 'utf8'), 'kvm1 ssh-ed25519 AAAA\n');
});

test('a key that systemd provides is used in place of the file', async () => {
  const { credentials, open } = place();
  await open().add(RECORD, KEY);
  mkdirSync(credentials);
  const given = join(credentials, 'holdfast-hypervisor-kvm1');
  writeFileSync(given, KEY, { mode: 0o440 });
  equal((await open().sshFiles(RECORD)).key, given);
});

test('hypervisors of a user are in the configuration, those of the service in its memory', async () => {
  const root = temporaryDirectory();
  const before = { ...process.env };
  const added = async (env: Record<string, string>): Promise<void> => {
    for (const name of ['HOLDFAST_STATE', 'XDG_CONFIG_HOME', 'HOME']) delete process.env[name];
    Object.assign(process.env, env);
    await ownHypervisorFiles(realWorld()).add(RECORD, undefined);
  };
  try {
    await added({ HOME: join(root, 'home') });
    await added({ HOME: join(root, 'home'), XDG_CONFIG_HOME: join(root, 'config') });
    await added({ HOME: join(root, 'home'), HOLDFAST_STATE: join(root, 'state') });
  } finally {
    process.env = before;
  }
  for (const place of ['home/.config/holdfast', 'config/holdfast', 'state']) {
    equal(modeOf(join(root, place, 'hypervisors', 'kvm1.json')), 0o600, place);
  }
});
