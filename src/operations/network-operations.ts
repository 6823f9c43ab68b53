import {
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
} from '../lib/schema.ts';
import { changes, looks } from './operation.ts';
import { nothing } from './requests.ts';

/* The network of the machine that Holdfast runs on. */

const MANY = 64;
/** IFNAMSIZ of Linux. */
const name = text({ max: 15, pattern: /^[a-zA-Z0-9][\w.-]*$/, words: 'the name of an interface' });
const word = text({ max: 256 });
const long = text({ max: 64 * 1024, min: 0 });
const words = list(word, MANY);
const count = integer(0, Number.MAX_SAFE_INTEGER);
/** Seconds until it is rolled back. */
const seconds = withDefault(integer(5, 600), 60);

const kind = variants('kind', {
  wired: {},
  vlan: { on: name, id: integer(1, 4094) },
  bond: { mode: oneOf('active-backup', '802.3ad', 'balance-alb'), members: list(name, MANY, 1) },
});

const settings = {
  kind: withDefault(kind, { kind: 'wired' }),
  dhcp: withDefault(flag(), false),
  /** Each with the length of its prefix. */
  addresses: withDefault(words, []),
  gateways: withDefault(words, []),
  dns: withDefault(words, []),
  domains: withDefault(words, []),
};

const pending = object({ what: long, secondsLeft: count });

const networkView = object({
  /** Why nothing can be changed here. */
  refusal: nullable(long),
  interfaces: list(
    object({
      ...{ name: word, kind: oneOf('wired', 'vlan', 'bond', 'loopback', 'other') },
      ...{ mac: nullable(word), mtu: count, up: flag(), carrier: flag(), partOf: nullable(word) },
      addresses: list(
        object({ address: word, from: oneOf('fixed', 'dhcp', 'router', 'link') }),
        10_000,
      ),
      managedBy: oneOf('holdfast', 'networkd', 'ifupdown', 'nobody'),
      planned: nullable(object({ name, ...settings })),
    }),
    10_000,
  ),
  routes: list(object({ to: word, via: nullable(word), on: word }), 10_000),
  ...{ dns: list(word, 10_000), domains: list(word, 10_000) },
  pending: nullable(pending),
});

export const NETWORK_OPERATIONS = {
  'network/show': looks(
    'show interfaces, addresses, routes and name servers',
    nothing,
    networkView,
  ),
  'network/change': changes(
    'set up an interface; rolled back unless confirmed in time',
    object({ name, ...settings, seconds }),
    pending,
  ),
  'network/remove': changes(
    'remove the settings of an interface; rolled back unless confirmed in time',
    object({ name, seconds }),
    pending,
  ),
  'network/confirm': changes('confirm the last change', nothing, object({ confirmed: long })),
  'network/revert': changes('roll the last change back now', nothing, object({ reverted: long })),
  'network/test': looks(
    'try gateways, name servers, and a host',
    object({ host: optional(word) }),
    object({ checks: list(object({ what: long, ok: flag(), detail: long }), 10_000) }),
  ),
  'network/reset': changes(
    'emergency: use DHCP on all wired interfaces, and remove all other settings',
    nothing,
    object({ interfaces: list(name, 10_000) }),
  ),
} as const;
