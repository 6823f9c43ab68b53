import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { setHost, setPassword, showHost } from '../../../src/host/settings/settings.ts';
import { machine } from '../../support/machine.ts';

const NTP_FILE = '/etc/systemd/timesyncd.conf.d/10-holdfast.conf';
const KEYBOARD_FILE = '/etc/default/keyboard';
const LAYOUTS =
  '! model\n  pc105 Generic\n\n! layout\n  us English (US)\n  ch German (Swiss)\n\n! variant\n  dvorak us: English\n';

/** As a Debian answers. */
const ANSWERS = {
  'hostnamectl --json=short': JSON.stringify({
    ...{ StaticHostname: 'box', Hostname: 'other' },
    ...{ OperatingSystemPrettyName: 'Debian 12', KernelRelease: '6.1' },
  }),
  'timedatectl show': 'Timezone=Europe/Zurich\nNTPSynchronized=yes\n',
  'timedatectl list-timezones': 'Europe/Zurich\nUTC\n',
  'passwd --status admin': 'admin P 2026-11-29 0 99999 7 -1\n',
  'systemctl show -P LoadState systemd-timesyncd.service': 'loaded\n',
};

test('name, time and keyboard are what the machine says', async () => {
  const { it } = await machine(ANSWERS, {
    [NTP_FILE]: '[Time]\nNTP=a.example 10.0.0.1\n',
    [KEYBOARD_FILE]: 'XKBMODEL="pc105"\nXKBLAYOUT="ch"\n',
  });
  deepEqual(await showHost(it), {
    ...{ hostname: 'box', timezone: 'Europe/Zurich', ntp: ['a.example', '10.0.0.1'] },
    ...{ keyboard: 'ch', system: 'Debian 12', kernel: '6.1' },
    ...{ isSynchronized: true, hasPassword: true },
  });
});

test('where nothing was chosen the defaults are shown, and no account is no password', async () => {
  const { 'passwd --status admin': _, ...answers } = ANSWERS;
  const { it } = await machine({ ...answers, 'timedatectl show': '' }, {});
  const { ntp, keyboard, timezone, isSynchronized, hasPassword } = await showHost(it);
  deepEqual([ntp, keyboard, timezone], [[], null, 'UTC']);
  deepEqual([isSynchronized, hasPassword], [false, null]);
});

test('nothing is changed where one part of a change cannot be', async () => {
  const layouts = { '/usr/share/X11/xkb/rules/base.lst': LAYOUTS };
  const good = { hostname: 'box9', timezone: 'UTC', ntp: ['10.0.0.1'], keyboard: 'ch' };
  for (const [bad, why] of [
    [{ hostname: 'a b' }, /"a b" is/],
    [{ timezone: 'Mars/Olympus' }, /there is no time zone "Mars\/Olympus"/],
    [{ timezone: '' }, /there is no time zone/],
    [{ ntp: ['10.0.0.1', 'no name'] }, /"no name" is/],
    [{ keyboard: 'pc105' }, /there is no keyboard layout "pc105"/],
    [{ keyboard: 'dvorak' }, /there is no keyboard layout/],
  ] as const) {
    const { it, ran } = await machine(ANSWERS, layouts);
    await rejects(setHost(it, { ...good, ...bad }), { code: 'BAD_REQUEST', message: why });
    deepEqual(
      ran().filter((line) => /^(hostnamectl hostname|timedatectl set|setupcon)/.test(line)),
      [],
    );
    equal(await it.files.stat(NTP_FILE), undefined);
  }
});

test('what a machine lacks for a change is named with its package', async () => {
  const { it } = await machine(
    { ...ANSWERS, 'systemctl show -P LoadState systemd-timesyncd.service': 'not-found\n' },
    {},
  );
  await rejects(setHost(it, { ntp: [] }), { code: 'REFUSED', message: /apt-get install/ });
  await rejects(setHost(it, { keyboard: 'us' }), { message: /apt-get install console-setup/ });
});

test('a change is made by the tools of the machine, and only what was named is changed', async () => {
  const { it, ran, textOf } = await machine(ANSWERS, {
    '/usr/share/X11/xkb/rules/base.lst': LAYOUTS,
    [NTP_FILE]: 'before',
  });
  await setHost(it, { hostname: 'box9' });
  deepEqual(ran(), ['hostnamectl hostname box9']);
  await setHost(it, { ntp: ['a.example', 'fd00::1'], keyboard: 'ch' });
  equal(await textOf(NTP_FILE), '[Time]\nNTP=a.example fd00::1\n');
  match((await textOf(KEYBOARD_FILE)) ?? '', /^XKBLAYOUT="ch"$/m);
  await setHost(it, { ntp: [] });
  equal(await textOf(NTP_FILE), undefined, 'those that Debian comes with');
});

test('a password has ten characters of any language and none that a terminal obeys', async () => {
  const { it, given } = await machine({ ...ANSWERS, chpasswd: '' }, {});
  for (const [bad, why] of [
    ['ninechars', /at least 10/],
    ['x'.repeat(513), /at most 512/],
    ['ten char\ns', /control characters/],
  ] as const) {
    await rejects(setPassword(it, Buffer.from(bad)), { code: 'BAD_REQUEST', message: why });
  }
  await rejects(setPassword(it, Uint8Array.of(0xff, 0xfe)), { code: 'BAD_REQUEST' });
  deepEqual(given(), [], 'nothing was set');
  await setPassword(it, Buffer.from('пароль на все времена'));
  deepEqual(given(), ['admin:пароль на все времена\n']);
});

test('where there is no account, how to make one is said', async () => {
  const { 'passwd --status admin': _, ...answers } = ANSWERS;
  const { it } = await machine(answers, {});
  const set = setPassword(it, Buffer.from('long enough'));
  await rejects(set, { code: 'NOT_FOUND', message: /appliance\/install --ssh/ });
});
