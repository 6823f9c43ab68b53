import { deepEqual } from 'node:assert/strict';
import { test } from 'tap';
import type { Context } from '../../src/cli/base/command.ts';
import { commandWords } from '../../src/cli/split-words.ts';
import { NOUNS } from '../../src/cli/reference/nouns.ts';
import { read } from '../../src/cli/program.ts';

/** What a command line asks first: the name of an operation, and its request. */
async function askedBy(line: string): Promise<readonly [string, unknown]> {
  let found: readonly [string, unknown] | undefined;
  const context = {
    call: async (name: string, request: unknown) => {
      found = [name, request];
      throw new Error('it was asked');
    },
    path: async (given: string) => (/^[/\w+]+:\/\//.test(given) ? given : `/here/${given}`),
    service: async () => '/run/holdfast/control.sock',
    signal: new AbortController().signal,
  } as unknown as Context;
  const asked = await read(commandWords(line), NOUNS, () => {});
  await asked?.command.run(asked.input, context).catch(() => {});
  return found ?? ['nothing', {}];
}

const LINES: readonly (readonly [line: string, name: string, request: object])[] = [
  ['store check', 'store/check', { readData: false }],
  ['store check --queue --read-data', 'job/create', { kind: 'check', request: { readData: true } }],
  ['store upgrade --yes', 'store/upgrade', { confirmed: true }],
  ['set list', 'set/list', {}],
  [
    'backup create nightly --machine web1 --disk vda=img.raw',
    'backup/create',
    { set: 'nightly', machine: 'web1', disks: [{ name: 'vda', where: '/here/img.raw' }] },
  ],
  [
    'backup create nightly --machine web1 --disk vda=a.raw --disk vdb=nbd://h:1/x --format raw --changed c.json',
    'backup/create',
    {
      set: 'nightly',
      machine: 'web1',
      disks: [
        { name: 'vda', where: '/here/a.raw' },
        { name: 'vdb', where: 'nbd://h:1/x' },
      ],
      format: 'raw',
      changed: '/here/c.json',
    },
  ],
  [
    'backup create nightly --machine web1 --disk vda=a.raw --queue --keep-daily 7 --keep-last 2',
    'job/create',
    {
      kind: 'backup',
      request: {
        set: 'nightly',
        machine: 'web1',
        disks: [{ name: 'vda', where: '/here/a.raw' }],
        retention: { last: 2, daily: 7, weekly: 0, monthly: 0, yearly: 0 },
      },
    },
  ],
  ['backup list', 'backup/list', {}],
  ['backup list nightly --machine web1', 'backup/list', { set: 'nightly', machine: 'web1' }],
  ['backup show web1@latest', 'backup/show', { point: 'web1@latest' }],
  ['backup forget abc', 'backup/forget', { point: 'abc' }],
  [
    'backup retain nightly --keep-daily 7 --dry-run',
    'backup/retain',
    {
      set: 'nightly',
      retention: { last: 0, daily: 7, weekly: 0, monthly: 0, yearly: 0 },
      dryRun: true,
    },
  ],
  [
    'restore disk web1@latest vda --to out.qcow2',
    'restore/disk',
    { point: 'web1@latest', disk: 'vda', to: '/here/out.qcow2', overwrite: false },
  ],
  [
    'restore disk web1@latest vda --to nbd://h:1/x --erase S1 --overwrite --queue',
    'job/create',
    {
      kind: 'restore',
      request: {
        point: 'web1@latest',
        disk: 'vda',
        to: 'nbd://h:1/x',
        overwrite: true,
        erase: 'S1',
      },
    },
  ],
  [
    'recover web1@latest --detach',
    'session/start',
    { point: 'web1@latest', whenFull: 'pause', listen: undefined, tls: undefined, nfs: undefined },
  ],
  [
    'recover web1@latest --detach --nfs --allow 10.0.0.0/8 --squash none --any-port --nfs-read-only ' +
      '--nfs-points --nfs-port 0',
    'session/start',
    {
      point: 'web1@latest',
      whenFull: 'pause',
      listen: undefined,
      tls: undefined,
      nfs: {
        allow: ['10.0.0.0/8'],
        host: undefined,
        ports: { nfs: 0, mount: undefined, portmap: undefined },
        readOnly: true,
        points: true,
        squash: 'none',
        privilegedPorts: false,
      },
    },
  ],
  [
    'recover --resume s-1 --detach --nbd tcp:h:0 --tls-psk /keys',
    'session/resume',
    { session: 's-1', listen: 'tcp:h:0', tls: { kind: 'psk', path: '/keys' }, nfs: undefined },
  ],
  ['session log s', 'session/log', { session: 's', first: 0 }],
  ['session resume s', 'session/resume', { session: 's' }],
  ['session keep s', 'session/keep', { session: 's' }],
  ['session keep s --queue', 'job/create', { kind: 'keep', request: { session: 's' } }],
  ['job list', 'job/list', { first: 0, active: false }],
  ['job list --last 5 --active', 'job/list', { first: 0, count: 5, active: true }],
  ['job unlock j', 'job/unlock', { job: 'j' }],
  [
    'schedule create v --at daily --check --read-data',
    'schedule/create',
    { schedule: 'v', at: 'daily', job: { kind: 'check', request: { readData: true } } },
  ],
  [
    'schedule create thin --at weekly --retain nightly',
    'schedule/create',
    {
      schedule: 'thin',
      at: 'weekly',
      job: { kind: 'retain', request: { set: 'nightly', dryRun: false } },
    },
  ],
  [
    'schedule create n --at 02:30 --backup nightly --machine m --disk vda=x --keep-daily 7',
    'schedule/create',
    {
      schedule: 'n',
      at: '02:30',
      job: {
        kind: 'backup',
        request: {
          set: 'nightly',
          machine: 'm',
          disks: [{ name: 'vda', where: '/here/x' }],
          retention: { last: 0, daily: 7, weekly: 0, monthly: 0, yearly: 0 },
        },
      },
    },
  ],
  ['schedule change n --at 03:00', 'schedule/change', { schedule: 'n', at: '03:00' }],
  ['schedule pause n', 'schedule/pause', { schedule: 'n' }],
  ['schedule resume n', 'schedule/resume', { schedule: 'n' }],
  ['schedule remove n', 'schedule/remove', { schedule: 'n' }],
  ['alarm list --all', 'alarm/list', { all: true }],
  ['alarm acknowledge a', 'alarm/acknowledge', { alarm: 'a' }],
  [
    'network change eth0 --address 10.0.0.5/24 --gateway 10.0.0.1 --dns 10.0.0.2 --domain x --within 30',
    'network/change',
    {
      name: 'eth0',
      kind: { kind: 'wired' },
      dhcp: false,
      addresses: ['10.0.0.5/24'],
      gateways: ['10.0.0.1'],
      dns: ['10.0.0.2'],
      domains: ['x'],
      seconds: 30,
    },
  ],
  [
    'network change lan7 --vlan 7 --on bond0 --off',
    'network/change',
    {
      name: 'lan7',
      kind: { kind: 'vlan', on: 'bond0', id: 7 },
      dhcp: false,
      addresses: [],
      gateways: [],
      dns: [],
      domains: [],
      seconds: 60,
    },
  ],
  [
    'network change bond0 --bond a --bond b --mode 802.3ad --dhcp',
    'network/change',
    {
      name: 'bond0',
      kind: { kind: 'bond', mode: '802.3ad', members: ['a', 'b'] },
      dhcp: true,
      addresses: [],
      gateways: [],
      dns: [],
      domains: [],
      seconds: 60,
    },
  ],
  ['network remove eth1', 'network/remove', { name: 'eth1', seconds: 60 }],
  ['network test', 'network/test', {}],
  ['network test host.example', 'network/test', { host: 'host.example' }],
  [
    'host set --ntp a --ntp b',
    'host/set',
    { hostname: undefined, timezone: undefined, ntp: ['a', 'b'], keyboard: undefined },
  ],
  [
    'host set --ntp none --keyboard de',
    'host/set',
    { hostname: undefined, timezone: undefined, ntp: [], keyboard: 'de' },
  ],
  ["host reboot --reason 'a new kernel'", 'host/reboot', { reason: 'a new kernel' }],
  ['ssh on', 'ssh/on', {}],
  ['ssh on --for 4h', 'ssh/on', { seconds: 14400 }],
  ['ssh shell --off', 'ssh/shell', { seconds: 0 }],
  [
    "ssh key add 'ssh-ed25519 AAAA x' --user restore",
    'ssh-key/add',
    { user: 'restore', key: 'ssh-ed25519 AAAA x' },
  ],
  ['ssh key remove SHA256:x', 'ssh-key/remove', { user: 'admin', fingerprint: 'SHA256:x' }],
  ['pool create --disk sdb', 'pool/create', { disk: 'sdb', fileSystem: 'xfs' }],
  [
    'pool create --disk sdb --file-system ext4 --erase W',
    'pool/create',
    { disk: 'sdb', fileSystem: 'ext4', erase: 'W' },
  ],
  ['token create ann --may look', 'token/create', { token: 'ann', may: 'look', files: false }],
  [
    'token create ann --may manage --files --expires 90',
    'token/create',
    { token: 'ann', may: 'manage', files: true, expiresDays: 90 },
  ],
  ['audit show', 'audit/show', { last: 100 }],
  ['service throughput --points 12', 'service/throughput', { points: 12 }],
  [
    'files open web1@latest vda --isolated',
    'files/open',
    { what: 'web1@latest', disk: 'vda', isolated: true },
  ],
  ['files close --all', 'files/close', { id: undefined }],
  ['files browse i v', 'files/browse', { id: 'i', volume: 'v', path: '/', first: 0, count: 500 }],
  [
    'files copy i v /a /b --to x',
    'files/copy',
    { id: 'i', volume: 'v', paths: ['/a', '/b'], to: 'x', overwrite: false },
  ],
  ['store adopt', 'store/adopt', { plan: undefined }],
];

test('a command line asks for exactly this', async () => {
  for (const [line, name, request] of LINES) {
    // As it is sent.
    const [asked, wanted] = [await askedBy(line), [name, request]].map((it) => JSON.stringify(it));
    deepEqual([line, JSON.parse(asked!)], [line, JSON.parse(wanted!)]);
  }
});
