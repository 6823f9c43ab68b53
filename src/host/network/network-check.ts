import { addressFamily } from '../../sys/net/networks.ts';
import { askNameServer } from '../../sys/net/name-server.ts';
import { HostError } from '../base/host-error.ts';
import { isDomainName } from '../base/names.ts';
import type { NetworkView } from './network.ts';
import type { RunProgram } from '../base/programs.ts';

/** The result of one test. */
export interface NetworkCheck {
  readonly what: string;
  readonly ok: boolean;
  readonly detail: string;
}

/** Seconds to wait for one answer. */
const WAIT = '2';
const NAME_MS = 10_000;
const SERVER_MS = 3000;

/** Tests the network from the next hop outwards: gateways, name servers, and a host if one is given. */
export async function checkNetwork(
  run: RunProgram,
  { routes, dns }: Pick<NetworkView, 'routes' | 'dns'>,
  host: string | undefined,
): Promise<NetworkCheck[]> {
  const checks: NetworkCheck[] = [];
  const gateways = routes.flatMap(({ to, via }) => (to === 'default' && via !== null ? [via] : []));
  if (gateways.length === 0) {
    checks.push({
      what: 'gateway',
      ok: false,
      detail: 'there is none: only directly connected networks can be reached',
    });
  }
  for (const gateway of new Set(gateways)) {
    checks.push({ what: `gateway ${gateway}`, ...(await ping(run, gateway)) });
  }
  if (dns.length === 0) checks.push({ what: 'name server', ok: false, detail: 'there is none' });
  for (const server of dns) {
    checks.push({ what: `name server ${server}`, ...(await askNameServer(server, SERVER_MS)) });
  }
  if (host === undefined) return checks;
  if (addressFamily(host) !== undefined) {
    return [...checks, { what: `host ${host}`, ...(await ping(run, host)) }];
  }
  if (!isDomainName(host))
    throw new HostError('BAD_REQUEST', `"${host}" is neither a name nor an address`);
  const { code, stdout } = await run('getent', ['ahosts', host], { timeoutMs: NAME_MS });
  const address = code === 0 ? stdout.split(/\s/)[0] : undefined;
  const found = address === undefined || address === '' ? undefined : address;
  checks.push({
    what: `name ${host}`,
    ok: found !== undefined,
    detail: found ?? 'unknown name',
  });
  if (found !== undefined) checks.push({ what: `host ${host}`, ...(await ping(run, found)) });
  return checks;
}

async function ping(run: RunProgram, address: string): Promise<Omit<NetworkCheck, 'what'>> {
  // `-n`: names of addresses are not needed.
  const { code, stdout } = await run('ping', [
    '-n',
    '-q',
    '-c',
    '2',
    '-i',
    '0.2',
    '-W',
    WAIT,
    address,
  ]);
  if (code !== 0) return { ok: false, detail: 'does not answer' };
  const average = /=\s*[\d.]+\/([\d.]+)\//.exec(stdout)?.[1];
  return { ok: true, detail: average === undefined ? 'answers' : `answers after ${average} ms` };
}
