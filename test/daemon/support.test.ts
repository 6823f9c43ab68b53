import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { openHypervisorFiles } from '../../src/box/hypervisor-files.ts';
import type { ServiceContext } from '../../src/engine/operations/context.ts';
import { supportBundle } from '../../src/engine/operations/support.ts';
import type { HypervisorRecord } from '../../src/formats/store/service/hypervisor.ts';
import { SystemError } from '../../src/sys/base/system-error.ts';
import { realWorld } from '../../src/sys/world.ts';
import { expectDone, runCli } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { without } from '../support/programs.ts';
import { noise } from '../support/random.ts';
import { emptyService } from '../support/service-context.ts';
import { serviceHome } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;
const root = temporaryDirectory();
const image = join(root, 'disk.raw');
makeRawDisk(image, 2 ** 20, 10);

/** Every text in the bundle, by its name. */
function unpacked(file: string): ReadonlyMap<string, string> {
  const directory = temporaryDirectory();
  execFileSync('tar', ['-C', directory, '-xzf', file]);
  const [top, ...others] = readdirSync(directory);
  deepEqual(others, []);
  match(top!, /^holdfast-support-.*-\d{8}T\d{6}Z$/);
  const inside = join(directory, top!);
  return new Map(
    readdirSync(inside).map((name) => [name, readFileSync(join(inside, name), 'utf8')]),
  );
}

function linesWith(texts: ReadonlyMap<string, string>, planted: string): string {
  const lines = [...texts.values()].join('\n').split('\n');
  return lines.filter((line) => line.includes(planted)).join('\n');
}

test('a bundle for which there is no room is not there in part', {
  skip: without('prlimit'),
}, async () => {
  const home = serviceHome(temporaryDirectory());
  await using _service = await home.run();
  const to = join(root, 'cut.tar.gz');
  const words = [MAIN, 'support', 'create', '--to', to, '--socket', home.socket];
  // Without what the runner of the tests brings along, which would take the kernel's signal for an end.
  const plain = ['-i', `PATH=${process.env['PATH']}`, 'prlimit', '--fsize=1000', process.execPath];
  const { status, stderr } = spawnSync('env', [...plain, ...words], { encoding: 'utf8' });
  equal(status, 1, stderr);
  match(stderr, /larger than is allowed/);
  equal(existsSync(to), false);
});

test('the bundle has what helps, and no secret wherever one was given', async () => {
  const home = serviceHome(root);
  const { holdfast } = home;
  const credentials = join(root, 'credentials');
  mkdirSync(credentials);
  writeFileSync(join(credentials, 'holdfast-passphrase'), 'planted-in-credential\n');
  writeFileSync(join(credentials, 'holdfast-box-key'), 'planted-in-the-key-of-the-box-32');
  writeFileSync(home.passphrase, 'planted-in-file\n');
  const signing = join(root, 'signing');
  writeFileSync(signing, 'planted-in-signing-key\n');
  const webhook = 'https://ann:planted-in-user@127.0.0.1:1/planted-in-webhook';
  home.configure({
    passphraseFiles: { nightly: home.passphrase },
    notify: { webhook, webhookSecretFile: signing },
  });
  const psk = join(root, 'psk');
  const pskKey = Buffer.from(noise(32, 7)).toString('hex');
  writeFileSync(psk, `client:${pskKey}\n`);
  const environment = { CREDENTIALS_DIRECTORY: credentials, HOLDFAST_STATE: join(root, 'box') };
  const hypervisors = openHypervisorFiles(realWorld(), {
    directory: join(root, 'box', 'hypervisors'),
    credentials: undefined,
  });
  const kvm1: HypervisorRecord = {
    ...{ name: 'kvm1', kind: 'libvirt', uri: 'later+ssh://holdfast@kvm1/system' },
    identity: { kind: 'ssh-key', type: 'ssh-ed25519', key: 'AAAA' },
    ...{ sockets: undefined, scratch: undefined, added: '2026-11-30T02:00:00.000Z' },
    ...{ contact: undefined, failure: undefined },
  };
  await hypervisors.add(kvm1, 'planted-in-the-key-for-a-hypervisor\n');
  writeFileSync(join(credentials, 'holdfast-hypervisor-kvm1'), 'planted-in-credential-for-kvm1\n');
  await using _service = await home.run({ environment });
  await expectDone(holdfast('store', 'create'));
  const secret = ['--passphrase-file', home.passphrase];
  const { result } = await expectDone(holdfast('set', 'create', 'nightly', '--encrypt', ...secret));
  const recoveryKey = result['recoveryKey'] as string;
  const disk = ['--machine', 'vm', '--disk', `vda=${image}`];
  await expectDone(holdfast('backup', 'create', 'nightly', ...disk));
  const tls = ['--nbd', 'tcp:127.0.0.1:0', '--tls-psk', psk];
  await expectDone(holdfast('recover', 'vm@latest', '--detach', ...tls));
  // It fails, and its log and the audit log have its request.
  const remote = 'nbd://ann:planted-in-uri@127.0.0.1:1/vda';
  const away = ['--machine', 'far', '--disk', `vda=${remote}`];
  const queued = await expectDone(holdfast('backup', 'create', 'nightly', ...away, '--queue'));
  const at = ['schedule', 'create', 'far', '--at', 'daily', '--backup', 'nightly', ...away];
  await expectDone(holdfast(...at));
  // As a person mistypes it: an argument that is no secret, with the secret in it.
  await holdfast('session', 'discard', 'passphrase=planted-in-argument');
  await holdfast('backup', 'forget', recoveryKey);
  await holdfast('hypervisor', 'add', 'kvm2', 'later+ssh://ann:planted-in-address@kvm2/system');
  await holdfast('hypervisor', 'change', 'kvm1', '--scratch', '/scratch');
  const web = ['--machine', 'web', '--disk', 'vda=https://127.0.0.1:1/planted-in-url'];
  await holdfast('backup', 'create', 'nightly', ...web);
  await holdfast('backup', 'forget', 'planted-in-credential');

  const file = join(root, 'bundle.tar.gz');
  const made = await expectDone(holdfast('support', 'create', '--to', file));
  equal(statSync(file).mode & 0o777, 0o600);
  const texts = unpacked(file);
  const all = [...texts.values()].join('\n');
  for (const planted of ['planted', pskKey, recoveryKey, recoveryKey.slice(0, 19), 'ann:']) {
    const where = [...texts].filter(([, text]) => text.includes(planted)).map(([name]) => name);
    deepEqual(where, [], planted + linesWith(texts, planted));
  }
  ok(all.includes('nbd://(removed)@127.0.0.1:1/vda'), 'what is beside it is there');

  const { contents } = JSON.parse(texts.get('contents.json')!) as {
    contents: { file: string; bytes: number; cut: boolean }[];
  };
  deepEqual(made.result['contents'], contents);
  deepEqual(
    contents.map((it) => it.file).sort(),
    [...texts.keys()].filter((it) => it !== 'contents.json').sort(),
  );
  match(texts.get('settings.json')!, /"nightly": ".*passphrase"/);
  match(texts.get('service.json')!, /"running": 1/);
  match(texts.get('service.json')!, /"notAdopted": \[\]/);
  match(texts.get('sessions.json')!, /"state": "running"/);
  match(texts.get('hypervisors.json')!, /"hypervisor": "kvm1"/);
  match(texts.get('metrics.txt')!, /^holdfast_store_present 1$/m);
  match(texts.get('audit.jsonl')!, /"what":"session\/discard".*"outcome":"failed"/);
  match(texts.get('audit-check.json')!, /"problem": null/);
  match(texts.get('versions.json')!, /"holdfast": "\d+\.\d+\.\d+".*qemu-img version/s);
  match(texts.get('mounts.txt')!, / - /);
  ok(texts.has(`job-${queued.result['job'] as string}.log`));

  const again = await holdfast('support', 'create', '--to', file);
  equal(again.code, 1, 'no file is overwritten');
  const shown = await holdfast('audit', 'show');
  ok(JSON.stringify(shown.result).includes('support/create'), 'who took one is noted');
});

test('it goes to standard output too, and is made where no service answers', async () => {
  const home = serviceHome(temporaryDirectory());
  await using service = await home.run();
  await expectDone(home.holdfast('store', 'create'));
  const words = [MAIN, 'support', 'create', '--to', '-', '--socket', home.socket];
  const piped = join(root, 'piped.tar.gz');
  writeFileSync(piped, execFileSync(process.execPath, words));
  match(unpacked(piped).get('service.json')!, /"running": 0/);
  await service.stop('SIGTERM');
  const file = join(root, 'without.tar.gz');
  await expectDone(runCli(['support', 'create', '--to', file, '--store', home.store, '--json']));
  const texts = unpacked(file);
  match(texts.get('service.json')!, /^missing: no service answers/);
  match(texts.get('sessions.json')!, /"sessions": \[\]/);
});

test('it is bounded, and says what was cut', async () => {
  const none = async (): Promise<never> => {
    throw new SystemError('UNREACHABLE', 'nobody');
  };
  const entry = { time: 'now', what: 'x', uid: 0, gid: 0, pid: 1, outcome: 'failed' } as const;
  const service: ServiceContext = {
    ...emptyService(none),
    audit: async () => ({
      begin: none,
      refused: none,
      check: none,
      last: async (count) =>
        Array.from({ length: count }, (_, at) => ({
          ...entry,
          number: at + 1,
          reason: Buffer.from(noise(6000, at)).toString('base64'),
        })),
    }),
  };
  const context = { engine: none, hypervisors: none, isSecret: () => true, service };
  const made = await supportBundle(context);
  const audit = made.contents.find(({ file }) => file === 'audit.jsonl')!;
  deepEqual([audit.bytes, audit.cut], [512 * 1024, true]);
  ok(made.archive.length < 2 ** 20);
});
