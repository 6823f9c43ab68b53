import { hostname, networkInterfaces } from 'node:os';

/**
 * The machine's name, and its addresses that others may reach: neither loopback nor link-local. None where the kernel
 * does not tell (a sandbox without netlink): whoever shows them goes on without.
 */
export function thisHost(query: typeof networkInterfaces = networkInterfaces): {
  readonly name: string;
  readonly addresses: readonly string[];
} {
  const all = Object.values(interfacesBy(query)).flatMap((of) => of ?? []);
  const reachable = all.filter(({ internal, address }) => !internal && !/^fe80:/i.test(address));
  return { name: hostname(), addresses: reachable.map(({ address }) => address) };
}

function interfacesBy(query: typeof networkInterfaces): ReturnType<typeof networkInterfaces> {
  try {
    return query();
  } catch {
    return {};
  }
}
