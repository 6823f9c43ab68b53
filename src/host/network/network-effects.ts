import type { Link } from './network-links.ts';
import type { NetworkPlan } from './network-plan.ts';

/** Interfaces that differ between the plans, and their members. */
export function touchedBy(before: NetworkPlan, after: NetworkPlan): ReadonlySet<string> {
  const names = new Set<string>();
  for (const [one, other] of [
    [before, after],
    [after, before],
  ] as const) {
    for (const it of one.interfaces) {
      const twin = other.interfaces.find(({ name }) => name === it.name);
      if (twin && JSON.stringify(twin) === JSON.stringify(it)) continue;
      names.add(it.name);
      if (it.kind.kind === 'vlan') names.add(it.kind.on);
      if (it.kind.kind === 'bond') for (const member of it.kind.members) names.add(member);
    }
  }
  return names;
}

/** Interfaces that exist only because of the plan. */
export function virtual({ interfaces }: NetworkPlan): string[] {
  return interfaces.filter(({ kind }) => kind.kind !== 'wired').map(({ name }) => name);
}

/**
 * Differences from the plan on touched interfaces: missing interfaces, missing addresses where they could be, and
 * others that are still there. Other interfaces may have been configured by hand.
 */
export function strays(plan: NetworkPlan, touched: ReadonlySet<string>, links: readonly Link[]) {
  const missing: string[] = [];
  const left: { readonly on: string; readonly address: string }[] = [];
  for (const { name, kind, addresses, dhcp } of plan.interfaces) {
    if (!touched.has(name)) continue;
    const link = links.find((it) => it.name === name);
    if (!link && kind.kind !== 'wired') missing.push(name);
    const wanted = addresses.map(plainAddress);
    const found = (link?.addresses ?? []).filter(({ from }) => from === 'fixed');
    const foundNames = found.map(({ address }) => plainAddress(address));
    missing.push(...wanted.filter((it) => link?.carrier === true && !foundNames.includes(it)));
    // An address with an infinite lease looks like a fixed one.
    if (dhcp) continue;
    const others = found.filter(({ address }) => !wanted.includes(plainAddress(address)));
    left.push(...others.map(({ address }) => ({ on: name, address })));
  }
  return { missing, left };
}

/** An address as the kernel writes it: `FD00:0::1/64` is `fd00::1/64`. */
function plainAddress(text: string): string {
  const [address = '', length] = text.split('/');
  if (!address.includes(':')) return text;
  return `${new URL(`http://[${address}]`).hostname.slice(1, -1)}/${length}`;
}
