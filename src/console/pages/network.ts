import type { ResultOf } from '../../operations/operations.ts';
import type { Form, FormDialog, FormField, FormValues } from '../state/dialog.ts';
import { chosenOf, idsOf } from '../state/lists.ts';
import { type Model, type Next, withDialog } from '../state/model.ts';
import { whole } from '../state/queries.ts';
import { type Known, valueOf } from '../state/service.ts';
import { startTask } from '../state/tasks.ts';
import { columns, type Line, line, wrapped } from '../terminal/screen.ts';
import { formDialog, listed } from '../widgets/form.ts';
import { listBody, notKnown } from '../widgets/list-body.ts';
import { keysFor, type Page } from '../widgets/page.ts';
import { confirm } from '../widgets/typed.ts';

/* Interfaces of this machine. A change is rolled back unless it is confirmed in time. */

type NetworkView = ResultOf<'network/show'>;
type InterfaceView = NetworkView['interfaces'][number];

export const NETWORK = whole('network', {
  call: { name: 'network/show', request: {} },
  value: (it) => it,
  changedBy: ['network', 'host'],
});

const onNetwork = keysFor(({ network }) => valueOf(network));
const onInterface = keysFor((model) => chosenOf(interfacesOf(model), model.chosen.network));

const hasPending = ({ network }: Model): boolean => Boolean(valueOf(network)?.pending);
const unlessPending = (model: Model): string | undefined =>
  hasPending(model) ? 'First press c to keep the last change, or u to undo it.' : undefined;
const onlyPending = (model: Model): string | undefined => {
  if (hasPending(model)) return undefined;
  return model.network.kind === 'known' ? 'No change waits to be confirmed.' : '';
};

export const networkPage: Page = {
  title: 'Network',
  keys: [
    onInterface(
      'enter',
      'addresses',
      (model, it) => withDialog(model, interfaceForm(it)),
      unlessPending,
    ),
    onInterface('v', 'VLAN', (model, { name }) => withDialog(model, vlanForm(name)), unlessPending),
    onNetwork('b', 'bond', (model, it) => withDialog(model, bondForm(it)), unlessPending),
    onInterface('d', 'remove', remove, unlessPending),
    onNetwork(
      'c',
      'keep the change',
      (model) =>
        startTask(model, 'network: confirm', { call: { name: 'network/confirm', request: {} } }),
      onlyPending,
    ),
    onNetwork(
      'u',
      'undo it',
      (model) =>
        startTask(model, 'network: undo', { call: { name: 'network/revert', request: {} } }),
      onlyPending,
    ),
    onNetwork('t', 'test', (model) => withDialog(model, testForm())),
    onNetwork('R', 'reset', reset),
  ],
  queries: [NETWORK],
  list: { kind: 'rows', ids: (model) => idsOf(interfacesOf(model), (it) => it.name) },
  body: networkBody,
};

function interfacesOf({ network }: Model): Known<readonly InterfaceView[]> {
  return network.kind === 'known' ? { ...network, value: network.value.interfaces } : network;
}

const REMOVAL_SECONDS = 60;

function remove(model: Model, { name }: InterfaceView): Next {
  return confirm(model, {
    title: `removal of ${name}`,
    question:
      `This machine and its sessions can no longer be reached through ${name}. It comes back by itself unless ` +
      `the change is kept within ${REMOVAL_SECONDS} seconds.`,
    word: 'remove',
    call: { name: 'network/remove', request: { name, seconds: REMOVAL_SECONDS } },
  });
}

function reset(model: Model): Next {
  return confirm(model, {
    title: 'Emergency reset of the network',
    question:
      'All settings of the network are removed, VLANs and bonds too, and every wired interface asks for an ' +
      'address by DHCP. This cannot be rolled back.',
    word: 'reset',
    call: { name: 'network/reset', request: {} },
  });
}

const WIDTHS = [15, 8, 9];

function networkBody(model: Model): readonly Line[] {
  const { network, size } = model;
  if (network.kind !== 'known') return [notKnown(network)];
  const { refusal, routes, dns, domains } = network.value;
  const width = size.columns - 3;
  const list = listBody(model, {
    known: interfacesOf(model),
    heading: columns(['INTERFACE', 'STATE', 'BY', 'ADDRESSES'], WIDTHS),
    none: 'This machine has no network interfaces.',
    text: interfaceText,
  });
  const facts = [
    ...routes.map(({ to, via, on }) => `route ${to} ${via === null ? '' : `via ${via} `}on ${on}`),
    `name servers ${dns.join(' ') || 'none'}${domains.length > 0 ? `, domains ${domains.join(' ')}` : ''}`,
  ];
  const no = refusal === null ? [] : wrapped(`Nothing can be changed here: ${refusal}`, width);
  return [
    ...pendingLines(model),
    ...no.map((text) => line(` ${text}`, 'warning')),
    ...list,
    [],
    ...facts.map((text) => line(` ${text}`)),
  ];
}

/** Seconds until the last change is rolled back; undefined: none waits. */
function secondsLeft({ network, nowMs }: Model): number | undefined {
  if (network.kind !== 'known' || network.value.pending === null) return undefined;
  const since = (nowMs - network.atMs) / 1000;
  return Math.max(0, Math.ceil(network.value.pending.secondsLeft - since));
}

function pendingLines(model: Model): Line[] {
  const left = secondsLeft(model);
  if (left === undefined || model.network.kind !== 'known') return [];
  const { what } = model.network.value.pending!;
  return [
    line(
      ` ${what} is in force, and ROLLED BACK IN ${left} s. Does everything still work?`,
      'warning',
    ),
    line(' c keeps it, u undoes it now.', 'strong'),
    [],
  ];
}

function interfaceText(it: InterfaceView): string {
  const state = it.up ? (it.carrier ? 'up' : 'no cable') : 'down';
  const seen = it.addresses.filter(({ from }) => from !== 'link');
  const shown = seen.map(({ address, from }) =>
    from === 'fixed' ? address : `${address} (${from})`,
  );
  const part = it.partOf === null ? [] : [`part of ${it.partOf}`];
  return columns([it.name, state, it.managedBy, [...part, ...shown].join(' ') || '-'], WIDTHS);
}

const BOTH = 'DHCP and fixed';
const isFixed = ({ how }: FormValues): boolean => how === 'fixed';
const hasAddresses = (values: FormValues): boolean => isFixed(values) || values['how'] === BOTH;

const ADDRESS_FIELDS: readonly FormField[] = [
  {
    name: 'how',
    label: 'Addresses',
    choices: ['DHCP', 'fixed', BOTH, 'none'],
    note: 'from the network, fixed, both, or none (as below VLANs)',
  },
  {
    name: 'addresses',
    label: 'Address',
    note: 'with the length of its prefix: 10.0.0.5/24; several with spaces between them',
    matters: hasAddresses,
  },
  {
    name: 'gateways',
    label: 'Gateway',
    note: 'in the same network: 10.0.0.1; empty: no other networks are reached',
    matters: isFixed,
  },
  {
    name: 'dns',
    label: 'Name servers',
    note: '10.0.0.2 10.0.0.3; empty with DHCP: those that it gives',
  },
  { name: 'domains', label: 'Domains', note: 'appended to names without a dot: example.org' },
  {
    name: 'seconds',
    label: 'Confirm within',
    choices: ['60', '120', '300'],
    note: 'seconds; without a confirmation the change is rolled back',
  },
];

const NO_ADDRESS: FormValues = {
  how: 'DHCP',
  addresses: '',
  gateways: '',
  dns: '',
  domains: '',
  seconds: '60',
};

function interfaceForm({ name, planned, addresses }: InterfaceView): FormDialog {
  const fixed = addresses.filter(({ from }) => from === 'fixed').map(({ address }) => address);
  const values = planned
    ? {
        how: howOf(planned),
        addresses: planned.addresses.join(' '),
        gateways: planned.gateways.join(' '),
        dns: planned.dns.join(' '),
        domains: planned.domains.join(' '),
      }
    : { how: fixed.length > 0 ? 'fixed' : 'DHCP', addresses: fixed.join(' ') };
  const kind = planned?.kind ?? { kind: 'wired' as const };
  return formDialog({
    title: `Addresses of ${name}`,
    does: 'apply it',
    fields: ADDRESS_FIELDS,
    values: { ...NO_ADDRESS, ...values },
    submit: (given) => change(name, kind, given),
  });
}

function howOf({ dhcp, addresses }: NonNullable<InterfaceView['planned']>): string {
  if (addresses.length === 0) return dhcp ? 'DHCP' : 'none';
  return dhcp ? BOTH : 'fixed';
}

function vlanForm(on: string): FormDialog {
  const fields: readonly FormField[] = [
    { name: 'id', label: 'VLAN', note: `the VLAN's number on ${on}, 1 to 4094` },
    ...ADDRESS_FIELDS,
  ];
  return formDialog({
    title: `A VLAN on ${on}`,
    does: 'apply it',
    fields,
    values: { ...NO_ADDRESS, id: '' },
    submit(values) {
      const id = Number(values['id']);
      if (!Number.isInteger(id) || id < 1 || id > 4094) return 'A VLAN is a number, 1 to 4094.';
      // IFNAMSIZ: 15 characters.
      const name = `${on}.${id}`.length <= 15 ? `${on}.${id}` : `vlan${id}`;
      return change(name, { kind: 'vlan', on, id }, values);
    },
  });
}

function bondForm({ interfaces }: NetworkView): FormDialog {
  const wired = interfaces.filter(({ kind }) => kind === 'wired').map(({ name }) => name);
  const fields: readonly FormField[] = [
    { name: 'name', label: 'Name', note: 'of the new interface' },
    { name: 'members', label: 'Made of', note: 'wired interfaces: eth0 eth1' },
    {
      name: 'mode',
      label: 'Mode',
      choices: ['active-backup', '802.3ad', 'balance-alb'],
      note: '802.3ad (LACP) has to be set up in the switch too',
    },
    ...ADDRESS_FIELDS,
  ];
  return formDialog({
    title: 'A bond: several interfaces as one',
    does: 'apply it',
    fields,
    values: { ...NO_ADDRESS, name: 'bond0', members: wired.join(' '), mode: 'active-backup' },
    submit(values) {
      const { mode } = values;
      const isKnown = mode === '802.3ad' || mode === 'balance-alb';
      const members = listed(values['members']);
      const kind: Kind = { kind: 'bond', members, mode: isKnown ? mode : 'active-backup' };
      if (members.length === 0) return 'Its interfaces are missing: for instance eth0 eth1.';
      return change((values['name'] ?? '').trim(), kind, values);
    },
  });
}

function testForm(): FormDialog {
  const note = 'a name or an address to try, besides gateways and name servers; may be empty';
  return formDialog({
    title: 'Test the network',
    does: 'try',
    fields: [{ name: 'host', label: 'Host', note }],
    values: { host: '' },
    submit(values) {
      const host = (values['host'] ?? '').trim() || undefined;
      return { title: 'test of the network', call: { name: 'network/test', request: { host } } };
    },
  });
}

type Kind = NonNullable<InterfaceView['planned']>['kind'];

function change(name: string, kind: Kind, values: FormValues): ReturnType<Form['submit']> {
  const isNamed = hasAddresses(values);
  const addresses = isNamed ? listed(values['addresses']) : [];
  if (isNamed && addresses.length === 0) return 'An address is missing: for instance 10.0.0.5/24.';
  return {
    title: `network of ${name}`,
    call: {
      name: 'network/change',
      request: {
        name,
        kind,
        addresses,
        dhcp: values['how'] === 'DHCP' || values['how'] === BOTH,
        gateways: isFixed(values) ? listed(values['gateways']) : [],
        dns: listed(values['dns']),
        domains: listed(values['domains']),
        seconds: Number(values['seconds']),
      },
    },
  };
}
