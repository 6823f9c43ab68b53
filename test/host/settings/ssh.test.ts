import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { test } from 'tap';
import {
  addKey,
  allowShell,
  removeAllKeys,
  removeKey,
  showSsh,
  sshOff,
  sshOn,
} from '../../../src/host/settings/ssh.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { machine } from '../../support/machine.ts';
import type { RunProgram } from '../../../src/host/base/programs.ts';

const TIMER_FILE = '/etc/systemd/system/holdfast-ssh-off.timer.d/until.conf';
const KEYS = '/etc/holdfast/ssh/admin.keys';
const KEY = 'ssh-ed25519 AAAAC3Nz ann';
const OTHER = 'ssh-ed25519 BBBBC3Nz ben@example.org';
const NOON = '2026-11-29T12:00:00.000Z';

/** ssh-keygen, also for a line with options before its key; the middle of a key is its fingerprint here. */
const keygen: RunProgram = async (_name, _args, { input = '' } = {}) => {
  const [, middle, comment] = /ssh-ed25519 (\w+) ?(.*)/.exec(input) ?? [];
  return middle === undefined
    ? { code: 1, stdout: '', stderr: '(stdin) is not a public key file.' }
    : { code: 0, stdout: `256 SHA256:${middle} ${comment} (ED25519)\n`, stderr: '' };
};

async function host(texts: Record<string, string> = {}, active: readonly string[] = []) {
  const made = await machine(
    Object.fromEntries([
      ...active.map((unit) => [`systemctl is-active --quiet ${unit}`, '']),
      ...['ssh.service', 'ssh.socket'].map((unit) => [
        `systemctl show -P LoadState ${unit}`,
        'loaded\n',
      ]),
    ]) as Record<string, string>,
    texts,
  );
  const run: RunProgram = (name, args, options) =>
    name === 'ssh-keygen' ? keygen(name, args, options) : made.it.run(name, args, options);
  return { ...made, it: { ...made.it, run } };
}

test('a key is added once for each user, and goes by its fingerprint', async () => {
  const { it, textOf } = await host();
  const clock = fakeClock(NOON);
  const added = await addKey(it, 'admin', `  ${KEY}\n`);
  deepEqual(added, {
    user: 'admin',
    fingerprint: 'SHA256:AAAAC3Nz',
    type: 'ED25519',
    comment: 'ann',
  });
  await rejects(addKey(it, 'admin', KEY), { code: 'REFUSED', message: /SHA256:AAAAC3Nz already/ });
  await addKey(it, 'restore', KEY);
  await addKey(it, 'admin', OTHER);
  equal(await textOf(KEYS), `${KEY}\n${OTHER}\n`);
  equal((await removeKey(it, 'admin', added.fingerprint)).comment, 'ann');
  await rejects(removeKey(it, 'admin', added.fingerprint), { code: 'NOT_FOUND' });
  deepEqual(
    (await showSsh(it, clock)).keys.map(({ user, comment }) => `${user} ${comment}`),
    ['admin ben@example.org', 'restore ann'],
  );
  await removeAllKeys(it);
  deepEqual((await showSsh(it, clock)).keys, []);
});

test('a key that brings options, more lines, or is none, is refused', async () => {
  const { it, textOf } = await host();
  for (const bad of [
    `command="id" ${KEY}`,
    `${KEY}\n${OTHER}`,
    'no key at all',
    'ssh-rsa AAAA x',
    `${KEY}${'x'.repeat(20_000)}`,
  ]) {
    await rejects(addKey(it, 'admin', bad), { code: 'BAD_REQUEST' }, bad.slice(0, 40));
  }
  equal(await textOf(KEYS), undefined);
});

test('a line that root wrote by hand and sshd skips hides no key, and can be removed', async () => {
  const { it, textOf } = await host({ [KEYS]: `# mine\n\nnonsense\n${KEY}\n` });
  const { keys } = await showSsh(it, fakeClock(NOON));
  deepEqual(
    keys.map(({ fingerprint, type }) => `${fingerprint} ${type}`),
    ['line-1 no-key', 'SHA256:AAAAC3Nz ED25519'],
  );
  await removeKey(it, 'admin', 'line-1');
  equal(await textOf(KEYS), `${KEY}\n`);
});

test('SSH that is switched on for a while ends by a timer, also where the service is gone', async () => {
  const { it, ran, textOf } = await host({}, ['ssh.service']);
  const clock = fakeClock(NOON);
  await sshOn(it, clock, 3600);
  match((await textOf(TIMER_FILE)) ?? '', /^OnCalendar=2026-11-29 13:00:00 UTC$/m);
  deepEqual(ran(), [
    'systemctl daemon-reload',
    'systemctl enable --quiet holdfast-ssh-off.timer',
    'systemctl restart holdfast-ssh-off.timer',
    'systemctl enable --quiet --now ssh.service',
  ]);
  equal((await showSsh(it, clock)).until, '2026-11-29T13:00:00.000Z');
  await clock.advance(3600 * 1000);
  equal((await showSsh(it, clock)).until, null, 'a time that is over is none');
});

test('without a time SSH stays on, and an earlier end is forgotten', async () => {
  const { it, textOf } = await host();
  await sshOn(it, fakeClock(NOON), 60);
  await sshOn(it, fakeClock(NOON), undefined);
  equal(await textOf(TIMER_FILE), undefined);
});

test('where systemd starts sshd per connection, its socket is switched on and off first', async () => {
  const { it, ran } = await host({}, ['ssh.socket']);
  await sshOn(it, fakeClock(NOON), undefined);
  equal(ran().at(-1), 'systemctl enable --quiet --now ssh.socket');
  await sshOff(it);
  const off = ran().filter((line) => /disable.*ssh\.(socket|service)/.test(line));
  deepEqual(off, [
    'systemctl disable --quiet --now ssh.socket',
    'systemctl disable --quiet --now ssh.service',
  ]);
});

test('a host without sshd says what to install', async () => {
  const { it } = await machine({ 'systemctl show -P LoadState ssh.service': 'not-found\n' }, {});
  await rejects(sshOn(it, fakeClock(NOON), 60), { code: 'REFUSED', message: /openssh-server/ });
});

test('a shell is allowed until its time, and no longer once it is taken back', async () => {
  const { it } = await host();
  const clock = fakeClock(NOON);
  await allowShell(it, clock, 1800);
  equal((await showSsh(it, clock)).shellUntil, '2026-11-29T12:30:00.000Z');
  await allowShell(it, clock, 0);
  equal((await showSsh(it, clock)).shellUntil, null);
});
