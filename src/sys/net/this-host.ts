import { hostname, networkInterfaces } from 'node:os';
import type { Address } from './network.ts';
import { isAnyAddress, LOOPBACK, parseNetworks } from './networks.ts';

/**
 * The machine's name, and those of its addresses that other hosts may reach: neither loopback nor link-local. The
 * list is empty if the kernel does not provide it (a sandbox without netlink).
 */
export function thisHost(query: typeof networkInterfaces = networkInterfaces): {
  readonly name: string;
  readonly addresses: readonly string[];
} {
  const all = Object.values(interfacesBy(query)).flatMap((of) => of ?? []);
  const reachable = all.filter(({ internal, address }) => !internal && !/^fe80:/i.test(address));
  return { name: hostname(), addresses: reachable.map(({ address }) => address) };
}

/**
 * The address at which clients reach a server that listens at all addresses of this machine: one among the allowed
 * addresses, otherwise one in the allowed networks, otherwise the first, IPv4 before IPv6; if the kernel lists none,
 * the machine's name. `allow`: addresses and networks; undefined: all hosts.
 */
export function reachableAt(
  allow: readonly string[] | undefined,
  query: typeof networkInterfaces = networkInterfaces,
): string {
  const allowed = allow && parseNetworks(allow);
  const own = parseNetworks(LOOPBACK);
  if (allow?.every((name) => own.has(name.split('/')[0]!))) {
    return allow.some((name) => !name.includes(':')) ? '127.0.0.1' : '::1';
  }
  const all = Object.values(interfacesBy(query)).flatMap((of) => of ?? []);
  const isOfTheirs = (cidr: string): boolean => {
    const network = parseNetworks([cidr]);
    return allow?.some((name) => network.has(name.split('/')[0]!)) === true;
  };
  const ranked = all
    .filter(({ internal, address }) => !internal && !/^fe80:/i.test(address))
    .map(({ address, cidr, family }) => ({
      address,
      rank:
        (allowed?.has(address) ? 0 : cidr !== null && isOfTheirs(cidr) ? 2 : 4) +
        (family === 'IPv4' ? 0 : 1),
    }));
  const [best] = ranked.sort((a, b) => a.rank - b.rank);
  return best?.address ?? hostname();
}

function interfacesBy(query: typeof networkInterfaces): ReturnType<typeof networkInterfaces> {
  try {
    return query();
  } catch {
    return {};
  }
}

/** A client cannot connect to the address that means "all addresses": this returns one that it can use. */
export function reachableAddress(address: Address): Address {
  const isAny = address.kind === 'tcp' && isAnyAddress(address.host);
  return isAny ? { ...address, host: reachableAt(undefined) } : address;
}
