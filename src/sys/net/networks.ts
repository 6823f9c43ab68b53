import { BlockList, isIP } from 'node:net';
import { SystemError } from '../base/system-error.ts';

/** A set of hosts: addresses and networks of both families. */
export interface Networks {
  has(address: string): boolean;
  /** The names as they were given. */
  readonly names: readonly string[];
}

/** This host, by any of its loopback addresses. */
export const LOOPBACK: readonly string[] = ['127.0.0.0/8', '::1'];

const BITS = { 4: 32, 6: 128 } as const;

/** `10.0.0.7`, `10.0.0.0/24`, `fd00::/8`. Throws INVALID for anything else. */
export function parseNetworks(names: readonly string[]): Networks {
  const list = new BlockList();
  for (const name of names) {
    const [address, prefix, ...more] = name.split('/');
    const version = isIP(address!);
    const bits = version === 0 ? -1 : BITS[version as 4 | 6];
    const length = prefix === undefined ? bits : Number(prefix);
    const isWhole = Number.isInteger(length) && length >= 0 && length <= bits;
    if (more.length > 0 || prefix === '' || !isWhole) {
      throw new SystemError(
        'INVALID',
        `"${name}" is neither an address nor a network (10.0.0.0/24)`,
      );
    }
    list.addSubnet(address!, length, familyOf(version));
  }
  return {
    names,
    has(address) {
      const version = isIP(address);
      return version !== 0 && list.check(address, familyOf(version));
    },
  };
}

/**
 * An address with the length of its network's prefix, `10.0.0.7/24`; undefined: not an address, or one with a zone.
 */
export function parseHostAddress(text: string): HostAddress | undefined {
  const [address, prefix, ...more] = text.split('/');
  const version = isIP(address!);
  if (version === 0 || more.length > 0 || !/^\d{1,3}$/.test(prefix ?? '')) return undefined;
  // RFC 4007 11: `fe80::1%eth0` names an interface of the host that reads it.
  if (address!.includes('%')) return undefined;
  const length = Number(prefix);
  const family = version as 4 | 6;
  return length >= 1 && length <= BITS[family] ? { address: address!, length, family } : undefined;
}

export interface HostAddress {
  readonly address: string;
  readonly length: number;
  readonly family: 4 | 6;
}

/** 4 or 6; undefined: not an address. */
export function addressFamily(text: string): 4 | 6 | undefined {
  const version = isIP(text);
  return version === 0 ? undefined : (version as 4 | 6);
}

/** Words of 16 bits in the part of an IPv6 address that names a network: a host has all addresses in one. */
const NETWORK_WORDS = 4;

/** The part that a peer cannot change by taking another address: an IPv4 address, or the /64 of an IPv6 address. */
export function peerNetwork(address: string): string {
  if (isIP(address) !== 6) return address;
  const [head = '', tail] = address.split('::');
  const words = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const known = [...words(head)];
  if (tail !== undefined) {
    const after = words(tail);
    while (known.length + after.length < 8) known.push('0');
    known.push(...after);
  }
  return `${known.slice(0, NETWORK_WORDS).join(':')}::/64`;
}

/** A server that listens there listens at all addresses, and clients need another address to connect to. */
export function isAnyAddress(host: string): boolean {
  return isIP(host) !== 0 && /^[0:.]+$/.test(host);
}

/** Writes a host so that a port or a path may follow: an IPv6 address has colons of its own (RFC 3986 3.2.2). */
export function inUri(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

function familyOf(version: number): 'ipv4' | 'ipv6' {
  return version === 4 ? 'ipv4' : 'ipv6';
}
