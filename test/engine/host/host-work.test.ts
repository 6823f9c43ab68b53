import { deepEqual, equal, rejects } from 'node:assert/strict';
import { dirname } from 'node:path';
import { test } from 'tap';
import { noSecrets } from '../../../src/engine/base/engine.ts';
import { hostHandlers } from '../../../src/engine/host/host-work.ts';
import type { RunProgram } from '../../../src/host/base/programs.ts';
import { putDurably } from '../../../src/sys/files/write-atomically.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { seeded } from '../../support/random.ts';
import { simulatedWorld } from '../../support/store.ts';

const OPTIONS = {
  secrets: noSecrets,
  ...{ given: undefined, who: undefined, report: () => {} },
  signal: new AbortController().signal,
};
const KEYS = '/etc/holdfast/ssh/admin.keys';
const lineOf = (name: string): string => `ssh-ed25519 ${name}`;

/** A machine with one empty disk, on which `slow` waits until it is let go on. */
function machine(slow: string) {
  const gate = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  const asked: string[] = [];
  const run: RunProgram = async (name, args, options) => {
    asked.push([name, ...args].join(' '));
    if (name === slow) {
      reached.resolve();
      await gate.promise;
    }
    const stdout =
      name === 'ssh-keygen'
        ? `256 SHA256:${options!.input!.trim().split(' ')[1]} ann (ED25519)\n`
        : name === 'lsblk'
          ? '{"blockdevices":[{"name":"sda","type":"disk","size":8000000000}]}'
          : '';
    return { code: args.includes('is-active') ? 3 : 0, stdout, stderr: '' };
  };
  const world = simulatedWorld(crashingFs(seeded(0)).files);
  return {
    world,
    asked,
    open: gate.resolve,
    reached: reached.promise,
    work: () => hostHandlers(world, run),
    keys: async () => Buffer.from(await world.files.readFile(KEYS, 10_000)).toString('utf8'),
  };
}

test('a key that is removed while another one comes does not come back', async () => {
  const it = machine('ssh-keygen');
  await it.world.files.makeDirectory(dirname(KEYS));
  await putDurably(it.world.files, KEYS, Buffer.from(`${lineOf('old')}\n`));
  const work = it.work();
  const asked = [
    work['ssh-key/add']({ user: 'admin', key: lineOf('new') }, OPTIONS),
    work['ssh-key/remove']({ user: 'admin', fingerprint: 'SHA256:old' }, OPTIONS),
    work['ssh-key/add']({ user: 'admin', key: lineOf('last') }, OPTIONS),
  ];
  it.open();
  await Promise.all(asked);
  equal(await it.keys(), `${lineOf('new')}\n${lineOf('last')}\n`);
});

test("root's own command does not work on the machine beside the service", async () => {
  const it = machine('ssh-keygen');
  const service = it.work()['ssh-key/add']({ user: 'admin', key: lineOf('one') }, OPTIONS);
  await it.reached;
  const command = it.work();
  await rejects(command['ssh-key/add']({ user: 'admin', key: lineOf('two') }, OPTIONS), {
    ...{ code: 'BUSY', message: /machine\.lock is in use by holdfast ssh-key add/ },
  });
  it.open();
  await service;
  await command['ssh-key/add']({ user: 'admin', key: lineOf('two') }, OPTIONS);
  equal(await it.keys(), `${lineOf('one')}\n${lineOf('two')}\n`);
});

test('one pool is made at a time, for which nothing else waits', async () => {
  const it = machine('mkfs.xfs');
  const work = it.work();
  const request = { disk: 'sda', fileSystem: 'xfs', erase: undefined } as const;
  const first = work['pool/create'](request, OPTIONS);
  await it.reached;
  await rejects(work['pool/create'](request, OPTIONS), {
    ...{ code: 'BUSY', message: /pool\.lock is in use by holdfast pool create/ },
  });
  await work['ssh-key/add']({ user: 'admin', key: lineOf('one') }, OPTIONS);
  await work['host/reboot']({ reason: 'new kernel' }, OPTIONS);
  it.open();
  await first;
  deepEqual(it.asked.filter((line) => line.startsWith('mkfs')).length, 1);
});

test('an invalid line hides no key, keeps none from being added or removed, and can be removed', async () => {
  const world = simulatedWorld(crashingFs(seeded(0)).files);
  const run: RunProgram = async (name, args, options) => {
    const [type, print] = (options?.input ?? '').trim().split(' ');
    const isKey = type === 'ssh-ed25519';
    if (name !== 'ssh-keygen')
      return { code: args.includes('is-active') ? 3 : 0, stdout: '', stderr: '' };
    if (!isKey) return { code: 255, stdout: '', stderr: '(stdin) is not a public key file.' };
    return { code: 0, stdout: `256 SHA256:${print} ann (ED25519)\n`, stderr: '' };
  };
  await world.files.makeDirectory(dirname(KEYS));
  const lines = [lineOf('one'), 'pasted in two\u001b[2J', lineOf('two')];
  await putDurably(world.files, KEYS, Buffer.from(lines.join('\n')));
  const work = hostHandlers(world, run);
  const shown = async () =>
    (await work['ssh/show']({}, OPTIONS)).keys.map(({ fingerprint }) => fingerprint);
  deepEqual(await shown(), ['SHA256:one', 'line-2', 'SHA256:two']);
  await work['ssh-key/remove']({ user: 'admin', fingerprint: 'SHA256:one' }, OPTIONS);
  await work['ssh-key/add']({ user: 'admin', key: lineOf('three') }, OPTIONS);
  deepEqual(await shown(), ['line-1', 'SHA256:two', 'SHA256:three']);
  await work['ssh-key/remove']({ user: 'admin', fingerprint: 'line-1' }, OPTIONS);
  deepEqual(await shown(), ['SHA256:two', 'SHA256:three']);
});
