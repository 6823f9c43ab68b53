import { hostname, networkInterfaces } from 'node:os';

/** The machine's name, and its addresses that others may reach: neither loopback nor link-local. */
export function thisHost(): { readonly name: string; readonly addresses: readonly string[] } {
  const all = Object.values(networkInterfaces()).flatMap((of) => of ?? []);
  const reachable = all.filter(({ internal, address }) => !internal && !/^fe80:/i.test(address));
  return { name: hostname(), addresses: reachable.map(({ address }) => address) };
}
