import { idsOf } from '../state/lists.ts';
import { disksKey, keysOf, machineKey, sshKey } from '../pages/machine-keys.ts';
import { interfacesOf, networkKey } from '../pages/network-keys.ts';
import { setUpKey, STEPS } from '../pages/set-up.ts';
import { disksBody, machineBody, sshBody } from '../pages/view-machine.ts';
import { networkBody } from '../pages/view-network.ts';
import { setUpBody } from '../pages/view-set-up.ts';
import type { Page } from './page.ts';

/** The screens about the machine itself. */
export const HOST_PAGES = {
  network: {
    title: 'Network',
    help: () => 'Enter addresses  v VLAN  b bond  d remove  t test  R reset  ',
    looks: ['network'],
    list: { kind: 'rows', ids: (model) => idsOf(interfacesOf(model), (it) => it.name) },
    body: networkBody,
    key: networkKey,
  },
  machine: {
    title: 'Host',
    help: () => 'Enter settings  p password  B reboot  P power off  L lockdown  F reset  ',
    looks: ['machine', 'lockdown'],
    list: { kind: 'none' },
    body: machineBody,
    key: machineKey,
  },
  disks: {
    title: 'Disks',
    help: () => 'Enter use for backups  ',
    looks: ['disks'],
    list: { kind: 'rows', ids: ({ disks }) => idsOf(disks, (it) => it.name) },
    body: disksBody,
    key: disksKey,
  },
  ssh: {
    title: 'SSH',
    help: () => 'o open  x close  S shell  a add key  d remove key  ',
    looks: ['ssh'],
    list: {
      kind: 'rows',
      ids: (model) => idsOf(keysOf(model), (it) => `${it.user} ${it.fingerprint}`),
    },
    body: sshBody,
    key: sshKey,
  },
  setUp: {
    title: 'Set-up',
    help: () => 'Enter do this step  Down leave it out  ',
    looks: ['machine', 'network', 'ssh', 'disks', 'sets'],
    list: { kind: 'rows', ids: () => STEPS.map(({ title }) => title) },
    body: setUpBody,
    key: setUpKey,
  },
} as const satisfies Readonly<Record<string, Page>>;
