import { HostError } from '../base/host-error.ts';
import type { KnownLink } from './network-plan.ts';
import { jsonOutput, type RunProgram } from '../base/programs.ts';

/* The kernel's view: `ip -json`, reading only the needed parts. */

export interface Link extends KnownLink {
  /** Hardware address; null: it has none. */
  readonly mac: string | null;
  readonly mtu: number;
  readonly up: boolean;
  /** Whether the other end of the cable is up. */
  readonly carrier: boolean;
  /** The bond or bridge that it is part of. */
  readonly partOf: string | null;
  readonly addresses: readonly LinkAddress[];
}

export interface LinkAddress {
  /** The address with its prefix length. */
  readonly address: string;
  /** `link`: link-local. */
  readonly from: 'fixed' | 'dhcp' | 'router' | 'link';
}

export interface Route {
  /** `default`, or a network. */
  readonly to: string;
  readonly via: string | null;
  readonly on: string;
}

type Fields = Readonly<Record<string, unknown>>;

export async function readLinks(run: RunProgram): Promise<Link[]> {
  return (await readInterfaces(run)).map(linkOf);
}

/**
 * Names of the interfaces that can have a cable. The link of a container does not count, unless it is the only kind:
 * then this machine is the container.
 */
export async function readSockets(run: RunProgram): Promise<string[]> {
  const wired = (await readInterfaces(run)).filter((it) => kindOf(it) === 'wired');
  const cards = wired.filter((it) => madeAs(it) === undefined);
  return (cards.length > 0 ? cards : wired).map((it) => linkOf(it).name);
}

async function readInterfaces(run: RunProgram): Promise<Fields[]> {
  return items(await jsonOutput(run, 'ip', ['-json', '-details', 'address', 'show']));
}

/** Routes of both families, without those that come with an address. */
export async function readRoutes(run: RunProgram): Promise<Route[]> {
  const v4 = items(await jsonOutput(run, 'ip', ['-json', 'route', 'show']));
  const v6 = items(await jsonOutput(run, 'ip', ['-json', '-6', 'route', 'show']));
  return [...v4, ...v6]
    .filter((it) => it['protocol'] !== 'kernel' && textOf(it['dev']) !== undefined)
    .map((it) => ({
      to: textOf(it['dst']) ?? 'default',
      via: textOf(it['gateway']) ?? null,
      on: textOf(it['dev'])!,
    }));
}

function linkOf(it: Fields): Link {
  const flags = Array.isArray(it['flags']) ? it['flags'] : [];
  const found = Array.isArray(it['addr_info']) ? (it['addr_info'] as Fields[]) : [];
  return {
    name: textOf(it['ifname']) ?? '',
    kind: kindOf(it),
    mac: textOf(it['address']) ?? null,
    mtu: Number(it['mtu'] ?? 0),
    up: flags.includes('UP'),
    carrier: flags.includes('LOWER_UP'),
    partOf: textOf(it['master']) ?? null,
    addresses: found.filter((one) => textOf(one['local']) !== undefined).map(addressOf),
  };
}

function kindOf(it: Fields): Link['kind'] {
  if (it['link_type'] === 'loopback') return 'loopback';
  if (it['link_type'] !== 'ether') return 'other';
  switch (madeAs(it)) {
    case undefined:
    // The link of a container.
    case 'veth':
      return 'wired';
    case 'vlan':
      return 'vlan';
    case 'bond':
      return 'bond';
    default:
      return 'other';
  }
}

/** Undefined: it is a network card. */
function madeAs(it: Fields): unknown {
  return (it['linkinfo'] as Fields | undefined)?.['info_kind'];
}

function addressOf(it: Fields): LinkAddress {
  const address = `${textOf(it['local'])}/${Number(it['prefixlen'])}`;
  if (it['scope'] === 'link') return { address, from: 'link' };
  if (it['dynamic'] !== true) return { address, from: 'fixed' };
  return { address, from: it['family'] === 'inet' ? 'dhcp' : 'router' };
}

/** The state of each interface in systemd-networkd: `unmanaged`, `configured` and so on. */
export async function readManaged(run: RunProgram): Promise<ReadonlyMap<string, string>> {
  const found = (await jsonOutput(run, 'networkctl', ['--json=short', 'list'])) as Fields;
  const states = new Map<string, string>();
  for (const it of items(found['Interfaces'] ?? [])) {
    states.set(textOf(it['Name']) ?? '', textOf(it['AdministrativeState']) ?? 'unmanaged');
  }
  return states;
}

function items(value: unknown): Fields[] {
  if (Array.isArray(value)) return value as Fields[];
  throw new HostError('FAILED', 'a program did not print a list');
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
