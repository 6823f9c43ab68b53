import {
  field,
  flag,
  integer,
  list,
  nullable,
  object,
  oneOf,
  optional,
  text,
  variants,
  withDefault,
} from '../../lib/schema.ts';
import { count, nothing, prose, word } from '../base/fields.ts';
import { mutation, query } from '../base/operation.ts';

/* The network of the machine that Holdfast runs on. */

const MANY = 64;
const SHOWN = 10_000;
/** IFNAMSIZ of Linux. */
const interfaceName = text({
  ...{ max: 15, pattern: /^[a-zA-Z0-9][\w.-]*$/ },
  words: 'the name of an interface',
});
const name = field(interfaceName, 'name of the interface', { placeholder: 'INTERFACE' });
const words = list(word, MANY);
const seconds = field(
  withDefault(integer(5, 600), 60),
  'roll back after this time unless confirmed, even if the host or Holdfast goes down in the meantime',
  { placeholder: 'SECONDS', label: 'Confirm within' },
);

const kind = variants('kind', {
  wired: {},
  vlan: {
    on: field(interfaceName, 'the interface below'),
    id: field(integer(1, 4094), 'the VLAN ID', { label: 'VLAN' }),
  },
  bond: {
    mode: field(
      oneOf('active-backup', '802.3ad', 'balance-alb'),
      'how members share traffic; 802.3ad (LACP) must be configured in the switch too',
    ),
    members: field(list(interfaceName, MANY, 1), 'wired interfaces: eth0, eth1', {
      label: 'Made of',
    }),
  },
});

const settings = {
  kind: field(withDefault(kind, { kind: 'wired' }), 'kind of the interface'),
  dhcp: field(withDefault(flag(), false), 'addresses from the network'),
  addresses: field(
    withDefault(words, []),
    'fixed addresses, each with the length of its prefix: 10.0.0.5/24',
    {
      label: 'Address',
    },
  ),
  gateways: field(withDefault(words, []), 'gateways of fixed addresses: 10.0.0.1', {
    label: 'Gateway',
  }),
  dns: field(withDefault(words, []), 'name servers; none, with DHCP: those that it names', {
    label: 'Name servers',
  }),
  domains: field(withDefault(words, []), 'appended to names without a dot: example.org'),
};

const pending = object({
  what: field(prose, 'what is in force'),
  secondsLeft: field(count, 'seconds until it is rolled back'),
});

const networkView = object({
  refusal: field(nullable(prose), 'why nothing can be changed here; null: it can'),
  interfaces: field(
    list(
      object({
        name: field(word, 'name of the interface'),
        kind: field(oneOf('wired', 'vlan', 'bond', 'loopback', 'other'), 'what it is'),
        mac: field(nullable(word), 'its hardware address'),
        mtu: field(count, 'the longest packet in bytes'),
        up: field(flag(), 'whether it is up'),
        carrier: field(flag(), 'whether there is a cable'),
        partOf: field(nullable(word), 'the bond that it is part of'),
        addresses: field(
          list(
            object({
              address: field(word, 'with the length of its prefix'),
              from: field(oneOf('fixed', 'dhcp', 'router', 'link'), 'where it comes from'),
            }),
            SHOWN,
          ),
          'its addresses',
        ),
        managedBy: field(oneOf('holdfast', 'networkd', 'ifupdown', 'nobody'), 'what configures it'),
        planned: field(nullable(object({ name, ...settings })), 'its settings, set by Holdfast'),
      }),
      SHOWN,
    ),
    'interfaces',
  ),
  routes: field(
    list(
      object({
        to: field(word, 'the network'),
        via: field(nullable(word), 'the gateway; null: none'),
        on: field(word, 'the interface'),
      }),
      SHOWN,
    ),
    'routes',
  ),
  dns: field(list(word, SHOWN), 'name servers'),
  domains: field(list(word, SHOWN), 'appended to names without a dot'),
  pending: field(nullable(pending), 'the change that waits to be confirmed; null: none'),
});

const show = query('network/show', {
  summary: 'Show interfaces, addresses, routes and name servers',
  runs: 'hostd',
  request: nothing,
  result: networkView,
  cli: { examples: ['network show'] },
});

const change = mutation('network/change', {
  summary: 'Configure an interface; rolled back unless confirmed',
  description: 'The earlier settings of the interface are replaced.',
  runs: 'hostd',
  changes: ['network'],
  request: object({ name, ...settings, seconds }),
  result: pending,
});

const remove = mutation('network/remove', {
  summary: 'Remove the settings of an interface; rolled back unless confirmed',
  description: 'VLANs and bonds are removed; Holdfast no longer configures other interfaces.',
  runs: 'hostd',
  changes: ['network'],
  request: object({ name, seconds }),
  result: pending,
  cli: {
    args: ['name'],
    options: { seconds: { name: 'within' } },
    examples: ['network remove eth1'],
  },
});

const confirm = mutation('network/confirm', {
  summary: 'Confirm the last change of the network',
  runs: 'hostd',
  changes: ['network'],
  request: nothing,
  result: object({ confirmed: field(prose, 'what was confirmed') }),
  cli: { says: 'Kept: {confirmed}.', examples: ['network confirm'] },
});

const revert = mutation('network/revert', {
  summary: 'Roll back the last change of the network now',
  description: 'Rolls it back at once, without waiting until its time is up.',
  runs: 'hostd',
  changes: ['network'],
  request: nothing,
  result: object({ reverted: field(prose, 'what was rolled back') }),
  cli: { says: 'Rolled back: {reverted}.', examples: ['network revert'] },
});

const test = query('network/test', {
  summary: 'Test gateways, name servers and a host',
  runs: 'hostd',
  shows: [],
  request: object({
    host: field(optional(word), 'a host to reach as well', { placeholder: 'HOST' }),
  }),
  result: object({
    checks: field(
      list(
        object({
          what: field(prose, 'what was tested'),
          ok: field(flag(), 'whether it works'),
          detail: field(prose, 'what was found'),
        }),
        SHOWN,
      ),
      'tests',
    ),
  }),
  cli: {
    args: ['host'],
    notes: 'Exit code 1 if something failed.',
    examples: ['network test', 'network test backup.example.com'],
  },
});

const reset = mutation('network/reset', {
  summary: 'Emergency: use DHCP on all wired interfaces',
  description:
    'Removes all settings made by Holdfast, even VLANs and bonds; every wired interface then requests an ' +
    'address by DHCP. The reset need not be confirmed, and is not rolled back.',
  runs: 'hostd',
  changes: ['network'],
  request: nothing,
  result: object({ interfaces: field(list(interfaceName, SHOWN), 'interfaces with DHCP') }),
  cli: { examples: ['network reset'] },
});

export const operations = [show, change, remove, confirm, revert, test, reset] as const;
