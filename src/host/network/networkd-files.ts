import type { NetworkPlan, PlannedInterface } from './network-plan.ts';

/* systemd.network(5), systemd.netdev(5). */

/** Sorts before the files of Debian (80-) and of most people (20-). */
export const NETWORKD_PREFIX = '10-holdfast-';
const HEAD = '# Made by "holdfast network change": changes by hand are lost.';

/** The files of a plan: their text by their names. */
export function networkdFiles({ interfaces }: NetworkPlan): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const it of interfaces) {
    const { kind } = it;
    if (kind.kind !== 'wired') files.set(`${NETWORKD_PREFIX}${it.name}.netdev`, netdev(it));
    const vlans = interfaces.filter(
      (other) => other.kind.kind === 'vlan' && other.kind.on === it.name,
    );
    files.set(`${NETWORKD_PREFIX}${it.name}.network`, network(it, vlans));
    if (kind.kind !== 'bond') continue;
    for (const member of kind.members) {
      files.set(
        `${NETWORKD_PREFIX}${member}.network`,
        sections({ Match: [`Name=${member}`], Network: [`Bond=${it.name}`] }),
      );
    }
  }
  return files;
}

function netdev({ name, kind }: PlannedInterface): string {
  if (kind.kind === 'vlan') {
    return sections({ NetDev: [`Name=${name}`, 'Kind=vlan'], VLAN: [`Id=${kind.id}`] });
  }
  const mode = kind.kind === 'bond' ? kind.mode : 'active-backup';
  return sections({
    NetDev: [`Name=${name}`, 'Kind=bond'],
    // Detects a dead link after 100 ms.
    Bond: [`Mode=${mode}`, 'MIIMonitorSec=100ms'],
  });
}

function network(it: PlannedInterface, vlans: readonly PlannedInterface[]): string {
  const { name, dhcp, addresses, gateways, dns, domains } = it;
  const isUsed = dhcp || addresses.length > 0;
  return sections({
    Match: [`Name=${name}`],
    Network: [
      `DHCP=${dhcp ? 'yes' : 'no'}`,
      // With fixed addresses there are no others.
      `IPv6AcceptRA=${dhcp ? 'yes' : 'no'}`,
      `LinkLocalAddressing=${isUsed ? 'ipv6' : 'no'}`,
      ...addresses.map((address) => `Address=${address}`),
      ...gateways.map((gateway) => `Gateway=${gateway}`),
      ...dns.map((server) => `DNS=${server}`),
      ...(domains.length > 0 ? [`Domains=${domains.join(' ')}`] : []),
      ...vlans.map((vlan) => `VLAN=${vlan.name}`),
    ],
    // The start of the machine must not wait for an interface that never comes up.
    ...(!isUsed && { Link: ['RequiredForOnline=no'] }),
  });
}

function sections(all: Readonly<Record<string, readonly string[]>>): string {
  const parts = Object.entries(all).map(([name, lines]) => [`[${name}]`, ...lines].join('\n'));
  return `${HEAD}\n${parts.join('\n\n')}\n`;
}
