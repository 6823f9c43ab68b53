import type { ResultOf } from '../../operations/operations.ts';
import type { Form, FormDialog, FormField, FormValues } from '../state/dialog-model.ts';

/* What is asked of people about interfaces. */

export type InterfaceView = ResultOf<'network/show'>['interfaces'][number];

const BOTH = 'DHCP and fixed';
const isFixed = ({ how }: FormValues): boolean => how === 'fixed';
const hasAddresses = (values: FormValues): boolean => isFixed(values) || values['how'] === BOTH;

const ADDRESS_FIELDS: readonly FormField[] = [
  {
    ...{ name: 'how', label: 'Addresses', choices: ['DHCP', 'fixed', BOTH, 'none'] },
    note: 'from the network; fixed; both; or none, as below VLANs',
  },
  {
    ...{ name: 'addresses', label: 'Address', matters: hasAddresses },
    note: 'with the length of its prefix: 10.0.0.5/24; several with spaces between them',
  },
  {
    ...{ name: 'gateways', label: 'Gateway', matters: isFixed },
    note: 'in the same network: 10.0.0.1; empty: only near networks are reached',
  },
  { name: 'dns', label: 'Name servers', note: '10.0.0.2 10.0.0.3; empty with DHCP: as told by it' },
  { name: 'domains', label: 'Domains', note: 'appended to names without a dot: example.org' },
  {
    ...{ name: 'seconds', label: 'Confirm within', choices: ['60', '120', '300'] },
    note: 'seconds; without a confirmation everything is as it was before',
  },
];

const NO_ADDRESS: FormValues = {
  ...{ how: 'DHCP', addresses: '', gateways: '', dns: '', domains: '', seconds: '60' },
};

export function interfaceForm({ name, planned, addresses }: InterfaceView): FormDialog {
  const fixed = addresses.filter(({ from }) => from === 'fixed').map(({ address }) => address);
  const values = planned
    ? {
        how: howOf(planned),
        addresses: planned.addresses.join(' '),
        gateways: planned.gateways.join(' '),
        ...{ dns: planned.dns.join(' '), domains: planned.domains.join(' ') },
      }
    : { how: fixed.length > 0 ? 'fixed' : 'DHCP', addresses: fixed.join(' ') };
  const kind = planned?.kind ?? { kind: 'wired' as const };
  return {
    ...{ kind: 'form', title: `Addresses of ${name}`, field: 0, problem: '' },
    form: {
      ...{ does: 'put it in force', fields: ADDRESS_FIELDS },
      submit: (given) => change(name, kind, given),
    },
    values: { ...NO_ADDRESS, ...values },
  };
}

function howOf({ dhcp, addresses }: NonNullable<InterfaceView['planned']>): string {
  if (addresses.length === 0) return dhcp ? 'DHCP' : 'none';
  return dhcp ? BOTH : 'fixed';
}

export function vlanForm(on: string): FormDialog {
  const fields: readonly FormField[] = [
    { name: 'id', label: 'VLAN', note: `the VLAN's number on ${on}, 1 to 4094` },
    ...ADDRESS_FIELDS,
  ];
  return {
    ...{ kind: 'form', title: `A VLAN on ${on}`, field: 0, problem: '' },
    form: {
      ...{ does: 'put it in force', fields },
      submit(values) {
        const id = Number(values['id']);
        if (!Number.isInteger(id) || id < 1 || id > 4094) return 'A VLAN is a number, 1 to 4094.';
        // IFNAMSIZ: 15 characters.
        const name = `${on}.${id}`.length <= 15 ? `${on}.${id}` : `vlan${id}`;
        return change(name, { kind: 'vlan', on, id }, values);
      },
    },
    values: { ...NO_ADDRESS, id: '' },
  };
}

export function bondForm(members: string): FormDialog {
  const fields: readonly FormField[] = [
    { name: 'name', label: 'Name', note: 'of the new interface' },
    { name: 'members', label: 'Made of', note: 'wired interfaces: eth0 eth1' },
    {
      ...{ name: 'mode', label: 'Mode', choices: ['active-backup', '802.3ad', 'balance-alb'] },
      note: '802.3ad (LACP) has to be set up in the switch too',
    },
    ...ADDRESS_FIELDS,
  ];
  return {
    ...{ kind: 'form', title: 'A bond: several wires as one', field: 0, problem: '' },
    form: {
      ...{ does: 'put it in force', fields },
      submit(values) {
        const { mode } = values;
        const isKnown = mode === '802.3ad' || mode === 'balance-alb';
        const members = listed(values['members']);
        const kind: Kind = { kind: 'bond', members, mode: isKnown ? mode : 'active-backup' };
        if (members.length === 0) return 'Of which interfaces is it made?';
        return change((values['name'] ?? '').trim(), kind, values);
      },
    },
    values: { ...NO_ADDRESS, name: 'bond0', members, mode: 'active-backup' },
  };
}

export function testForm(): FormDialog {
  const note = 'a name or an address to try, besides gateways and name servers; may be empty';
  return {
    ...{ kind: 'form', title: 'Test the network', field: 0, problem: '' },
    form: {
      ...{ does: 'try', fields: [{ name: 'host', label: 'Host', note }] },
      submit(values) {
        const host = (values['host'] ?? '').trim() || undefined;
        return { title: 'test of the network', call: { name: 'network/test', request: { host } } };
      },
    },
    values: { host: '' },
  };
}

type Kind = NonNullable<InterfaceView['planned']>['kind'];

function change(name: string, kind: Kind, values: FormValues): ReturnType<Form['submit']> {
  const isNamed = hasAddresses(values);
  const addresses = isNamed ? listed(values['addresses']) : [];
  if (isNamed && addresses.length === 0) return 'Which address? For instance 10.0.0.5/24.';
  return {
    title: `network of ${name}`,
    call: {
      name: 'network/change',
      request: {
        ...{ name, kind, addresses, dhcp: values['how'] === 'DHCP' || values['how'] === BOTH },
        gateways: isFixed(values) ? listed(values['gateways']) : [],
        ...{ dns: listed(values['dns']), domains: listed(values['domains']) },
        seconds: Number(values['seconds']),
      },
    },
  };
}

export function listed(text = ''): string[] {
  return text.split(/[\s,]+/).filter((it) => it !== '');
}
