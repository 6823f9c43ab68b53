import {
  flag,
  integer,
  list,
  object,
  oneOf,
  parse,
  type Schema,
  text,
  variants,
} from '../../lib/schema.ts';
import { addressFamily, parseHostAddress, parseNetworks } from '../../sys/net/networks.ts';
import { HostError } from '../base/host-error.ts';
import { isDomainName } from '../base/names.ts';

/*
 * The network as administrators requested it: the files of systemd-networkd are made from this. It is checked as a
 * whole each time, so that networkd accepts what is written.
 */
export interface NetworkPlan {
  readonly interfaces: readonly PlannedInterface[];
}

export interface PlannedInterface {
  readonly name: string;
  readonly kind: InterfaceKind;
  readonly dhcp: boolean;
  /** Addresses with their prefix lengths. */
  readonly addresses: readonly string[];
  readonly gateways: readonly string[];
  readonly dns: readonly string[];
  /** Search domains for names without dots. */
  readonly domains: readonly string[];
}

export type InterfaceKind =
  | { readonly kind: 'wired' }
  | { readonly kind: 'vlan'; readonly on: string; readonly id: number }
  | { readonly kind: 'bond'; readonly mode: BondMode; readonly members: readonly string[] };

export type BondMode = (typeof BOND_MODES)[number];
export const BOND_MODES = ['active-backup', '802.3ad', 'balance-alb'] as const;

/** The kernel's interface of that name. */
export interface KnownLink {
  readonly name: string;
  readonly kind: 'wired' | 'vlan' | 'bond' | 'loopback' | 'other';
}

/** More than people configure by hand; keeps the record of a change short. */
const INTERFACES_MAX = 64;
const MANY = 64;

/** IFNAMSIZ is 16 with the final zero; no characters with a meaning in file names or shell patterns. */
const NAME = /^[a-zA-Z0-9][\w.-]{0,14}$/;
const name = text({ max: 15, pattern: NAME, words: 'the name of an interface' });
const word = text({ max: 256 });

const PLAN: Schema<NetworkPlan> = object({
  interfaces: list(
    object({
      name,
      kind: variants('kind', {
        wired: {},
        vlan: { on: name, id: integer(1, 4094) },
        bond: { mode: oneOf(...BOND_MODES), members: list(name, MANY, 1) },
      }),
      dhcp: flag(),
      addresses: list(word, MANY),
      gateways: list(word, MANY),
      dns: list(word, MANY),
      domains: list(word, MANY),
    }),
    INTERFACES_MAX,
  ),
});

/** Throws SchemaError. */
export function parsePlan(value: unknown): NetworkPlan {
  return parse(PLAN, value);
}

/** The plan with `changed` in it; throws BAD_REQUEST or REFUSED for impossible plans. */
export function withInterface(
  plan: NetworkPlan,
  changed: PlannedInterface,
  links: readonly KnownLink[],
): NetworkPlan {
  const { kind } = changed;
  checkKind(plan, changed, links);
  checkAddresses(changed);
  const taken = kind.kind === 'bond' ? kind.members : [];
  for (const member of taken) {
    const user = plan.interfaces.find((it) => usedBy(it, member) && it.name !== changed.name);
    if (user) refuse(`${member} is part of ${user.name}: remove that first`);
  }
  // Members no longer have addresses of their own.
  const others = plan.interfaces.filter(
    (it) => it.name !== changed.name && !taken.includes(it.name),
  );
  const owner = others.find((it) => it.kind.kind === 'bond' && usedBy(it, changed.name));
  if (owner) refuse(`${changed.name} is part of ${owner.name}: change that, or remove it first`);
  if (others.length >= INTERFACES_MAX) {
    refuse(`Holdfast configures ${INTERFACES_MAX} interfaces already: "network remove" one first`);
  }
  return { interfaces: [...others, changed].sort((a, b) => (a.name < b.name ? -1 : 1)) };
}

/**
 * DHCP on each of these that can be configured: so the machine is reachable wherever a server gives out addresses.
 */
export function dhcpOn(names: readonly string[]): NetworkPlan {
  const possible = names.filter((it) => NAME.test(it)).slice(0, INTERFACES_MAX);
  return {
    interfaces: possible.sort().map((one) => ({
      ...{ name: one, kind: { kind: 'wired' }, dhcp: true },
      ...{ addresses: [], gateways: [], dns: [], domains: [] },
    })),
  };
}

export function withoutInterface(plan: NetworkPlan, gone: string): NetworkPlan {
  const user = plan.interfaces.find((it) => it.kind.kind === 'vlan' && usedBy(it, gone));
  if (user) refuse(`${user.name} is a VLAN on ${gone}: remove that first`);
  const interfaces = plan.interfaces.filter((it) => it.name !== gone);
  if (interfaces.length < plan.interfaces.length) return { interfaces };
  throw new HostError('NOT_FOUND', `${gone} was not configured by Holdfast: see "network show"`);
}

function usedBy({ kind }: PlannedInterface, other: string): boolean {
  if (kind.kind === 'vlan') return kind.on === other;
  return kind.kind === 'bond' && kind.members.includes(other);
}

function checkKind(
  plan: NetworkPlan,
  { name: own, kind }: PlannedInterface,
  links: readonly KnownLink[],
): void {
  if (!NAME.test(own)) bad(`"${own}" cannot be the name of an interface`);
  const link = links.find((it) => it.name === own);
  const wired = links
    .filter((it) => it.kind === 'wired')
    .map((it) => it.name)
    .sort();
  if (kind.kind === 'wired') {
    if (link?.kind === 'wired') return;
    const found = link ? 'is not a wired interface' : 'does not exist';
    return bad(`${own} ${found}: this host has ${wired.join(', ') || 'none'}`);
  }
  // Otherwise networkd would not create it, and its addresses would go to another interface.
  if (link && link.kind !== kind.kind) bad(`${own} exists already, and is not a ${kind.kind}`);
  if (kind.kind === 'bond') {
    const strange = kind.members.find((it) => !wired.includes(it));
    if (strange !== undefined) bad(`${strange} is not a wired interface: ${wired.join(', ')}`);
    if (new Set(kind.members).size < kind.members.length) bad('a member is named twice');
    return;
  }
  if (kind.on === own || !NAME.test(kind.on)) bad(`${own} cannot be a VLAN on ${kind.on}`);
  const on = plan.interfaces.find((it) => it.name === kind.on);
  // Its file replaces the former configuration of that interface.
  if (!on)
    refuse(`configure ${kind.on} first ("network change ${kind.on} ..."), then the VLAN on it`);
  if (on?.kind.kind === 'vlan') bad(`${kind.on} is a VLAN itself`);
  const same = plan.interfaces.find(
    (it) =>
      it.name !== own &&
      it.kind.kind === 'vlan' &&
      it.kind.on === kind.on &&
      it.kind.id === kind.id,
  );
  if (same) bad(`VLAN ${kind.id} on ${kind.on} is ${same.name} already`);
}

function checkAddresses({ addresses, gateways, dns, domains, dhcp }: PlannedInterface): void {
  for (const text of addresses) {
    const parsed = parseHostAddress(text);
    if (!parsed) bad(`"${text}" is not an address with its prefix length, such as 10.0.0.5/24`);
    if (parsed?.family === 4) checkUsable(text, parsed.address, parsed.length);
    const isTwice = addresses.filter((it) => it === text).length > 1;
    if (isTwice) bad(`${text} is named twice`);
  }
  const networks = parseNetworks(addresses);
  for (const gateway of gateways) {
    const family = addressFamily(gateway);
    const isPlain = family !== undefined && !gateway.includes('%');
    if (!isPlain) bad(`"${gateway}" is not a gateway's address`);
    const isNear = networks.has(gateway) || /^fe80:/i.test(gateway);
    if (!isNear) bad(`the gateway ${gateway} is in none of the networks ${addresses.join(', ')}`);
    if (addresses.some((it) => it.split('/')[0] === gateway)) {
      bad(`${gateway} is the address of this host: give the gateway's address`);
    }
    if (gateways.some((it) => it !== gateway && addressFamily(it) === family)) {
      bad('give at most one gateway for IPv4 and one for IPv6');
    }
  }
  if (dhcp && gateways.length > 0) bad('with DHCP the server gives the gateway: do not give one');
  const noServer = dns.find((it) => addressFamily(it) === undefined);
  if (noServer !== undefined) bad(`"${noServer}" is not a name server's address`);
  const noDomain = domains.find((it) => !isDomainName(it));
  if (noDomain !== undefined) bad(`"${noDomain}" is not a domain`);
}

/** An IPv4 address that a machine can have. */
function checkUsable(shown: string, address: string, length: number): void {
  const value = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const first = Math.floor(value / 2 ** 24);
  if (first === 0 || first === 127 || first >= 224) bad(`${shown} is not the address of a host`);
  // RFC 3021: a network of two addresses has neither a network nor a broadcast address.
  if (length >= 31) return;
  const size = 2 ** (32 - length);
  if (value % size === 0) bad(`${shown} is the network itself: give an address in it`);
  if (value % size === size - 1) bad(`${shown} is the broadcast address of its network`);
}

function bad(message: string): never {
  throw new HostError('BAD_REQUEST', message);
}

function refuse(message: string): never {
  throw new HostError('REFUSED', message);
}
