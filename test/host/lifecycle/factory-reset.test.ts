import { deepEqual, equal, match } from 'node:assert/strict';
import { dirname } from 'node:path';
import { test } from 'tap';
import { factoryReset } from '../../../src/host/lifecycle/factory-reset.ts';
import { NETWORK_PLACES } from '../../../src/host/network/network-files.ts';
import { openNetwork } from '../../../src/host/network/network.ts';
import type { RunProgram } from '../../../src/host/base/programs.ts';
import { putDurably } from '../../../src/sys/files/write-atomically.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { faultyFs, full } from '../../support/faulty-fs.ts';
import { seeded } from '../../support/random.ts';

const KEYS = '/etc/holdfast/ssh/admin.keys';
const STEPS = [
  ...['SSH', 'SSH keys', 'shell', "administrator's password", 'time servers and time zone'],
  ...['first boot', 'name', 'network'],
];

const run: RunProgram = async (name, args) => {
  const line = [name, ...args].join(' ');
  const code = line.includes('is-active') && line.includes('NetworkManager') ? 3 : 0;
  const stdout = line.startsWith('hostnamectl --json')
    ? '{"StaticHostname":"box1"}'
    : line.includes('list-timezones')
      ? 'Etc/UTC\n'
      : line.includes('LoadState')
        ? 'loaded\n'
        : line.startsWith('passwd --status')
          ? 'admin P'
          : line.includes('networkctl --json')
            ? '{"Interfaces":[]}'
            : '';
  return { code, stdout, stderr: '' };
};

async function machine(broken: string) {
  const { files: inner } = crashingFs(seeded(0));
  for (const path of [KEYS, NETWORK_PLACES.plan, NETWORK_PLACES.pending]) {
    await inner.makeDirectory(dirname(path));
  }
  await putDurably(inner, KEYS, Buffer.from('ssh-ed25519 AAAA\n'));
  let faults = 0;
  const files = faultyFs(inner, (operation, path) => {
    if (operation !== 'write' || !path.startsWith(broken)) return undefined;
    faults++;
    return full(path);
  });
  const clock = fakeClock('2026-11-21T12:00:00Z');
  const network = openNetwork({ files, clock, run, places: NETWORK_PLACES });
  return {
    files,
    reset: () => factoryReset({ files, run }, { network, clock }, 'box1'),
    faults: () => faults,
  };
}

test('what cannot be written, or is in use by another process, keeps no other part from its reset', async () => {
  for (const [broken, step] of [
    [KEYS, 'SSH keys'],
    ['/etc/holdfast/first-boot', 'first boot'],
    [NETWORK_PLACES.plan, 'network'],
  ] as const) {
    const it = await machine(broken);
    const { reset, failed } = await it.reset();
    deepEqual(
      reset,
      STEPS.filter((name) => name !== step),
    );
    equal(failed.length, 1);
    match(failed[0]!, new RegExp(`^${step}: .*no space left`));
    equal(it.faults(), 1);
  }
  const it = await machine('/nothing');
  await using _held = await it.files.lock(NETWORK_PLACES.lock, 'another process');
  const { reset, failed } = await it.reset();
  deepEqual(reset, STEPS.slice(0, -1));
  match(failed.join(), /^network: .* in use by another process/);
});
