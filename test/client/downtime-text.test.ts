import { equal, match } from 'node:assert/strict';
import { test } from 'tap';
import { downtimeText } from '../../src/client/downtime-text.ts';
import { comparison } from '../../src/client/host-key.ts';

const ASKED = { session: 'web1-3f9c2a', pool: undefined, stop: undefined, start: false } as const;
const DOWNTIME = {
  ...{ bytes: 2 ** 30, seconds: 26, rate: 40 * 2 ** 20, measured: false, power: 'on' },
};

test('the command that begins a move is the one that was asked about, with what it lacks', async () => {
  const command = (asked: Partial<Parameters<typeof downtimeText>[0]>, power = 'on'): string =>
    downtimeText({ ...ASKED, ...asked }, { ...DOWNTIME, power }).split('To begin: ')[1]!;
  const begin = 'holdfast session migrate web1-3f9c2a --offline';
  equal(command({}), `${begin} --stop shutdown --yes`);
  equal(command({}, 'off'), `${begin} --yes`);
  equal(
    command({ pool: 'fast pool', stop: 'off', start: true }),
    `${begin} --pool 'fast pool' --stop off --start --yes`,
  );
});

test('how long a machine is off says how it comes to be off, and no time that is none', async () => {
  const text = (stop: 'off' | undefined, more: Partial<typeof DOWNTIME>): string =>
    downtimeText({ ...ASKED, stop }, { ...DOWNTIME, ...more });
  match(text(undefined, {}), /its guest shuts down first, and the machine is off: about 26 s,/);
  match(text('off', {}), /the machine is powered off: about 26 s,/);
  match(text('off', { power: 'off', seconds: 0 }), /the machine stays off: about 1 s,/);
  match(text(undefined, { seconds: 600 }), /about 10 min,/);
  match(
    text(undefined, {}),
    /In a pool of block devices, such as LVM, zeros are written and read back/,
  );
});

test('a host key of any size is compared with the file in which OpenSSH keeps it', async () => {
  const file = (type: string): string => comparison({ type }).command;
  match(file('ecdsa-sha2-nistp384'), /ssh_host_ecdsa_key\.pub$/);
  match(file('ssh-ed25519'), /ssh_host_ed25519_key\.pub$/);
  match(file('ssh-x'), /ssh_host_\*_key\.pub$/);
  match(file('certificate'), /^openssl x509 /);
});
