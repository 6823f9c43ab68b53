import type { NfsPlace, SessionRecord } from '../../formats/store/sessions/session.ts';
import type { RequestOf } from '../../operations/operations.ts';
import type { NfsResult } from '../../operations/nouns/session.ts';
import { nfsSnippets } from '../../sessions/guest/nfs-snippets.ts';
import type { SessionMachine } from '../../sessions/guest/session-machine.ts';
import { isAnyAddress, LOOPBACK, parseNetworks } from '../../sys/net/networks.ts';
import { reachableAt } from '../../sys/net/this-host.ts';
import { mayListenOnLowPorts } from '../../sys/process/run.ts';

export type NfsRequest = NonNullable<RequestOf<'session/start'>['nfs']>;

/** The ports that clients use by default; listening there needs root or CAP_NET_BIND_SERVICE. */
const STANDARD_PORTS = { nfs: 2049, mount: 20_048, portmap: 111 };
const HIGH_PORTS = { nfs: 12_049, mount: 12_048, portmap: 10_111 };

/**
 * Open only to this host, unless options say otherwise. `inherited`: the ports where systemd listens already. Throws
 * INVALID for invalid networks.
 */
export function nfsPlace(
  { allow, host, ports, ...rules }: NfsRequest,
  inherited: NfsPlace['ports'] | undefined,
): NfsPlace {
  parseNetworks(allow ?? []);
  const usual = inherited ?? (mayListenOnLowPorts() ? STANDARD_PORTS : HIGH_PORTS);
  return {
    host: host ?? (allow ? '::' : '127.0.0.1'),
    ports: {
      nfs: ports.nfs ?? usual.nfs,
      mount: ports.mount ?? usual.mount,
      portmap: ports.portmap ?? usual.portmap,
    },
    allow: allow ?? LOOPBACK,
    ...rules,
  };
}

export function nfsResult(
  session: SessionRecord,
  { host, ports }: Pick<NfsPlace, 'host' | 'ports'>,
  about: SessionMachine | undefined,
): NfsResult {
  const known = isAnyAddress(host) ? reachableAt(session.nfs?.allow) : host;
  return { host: known, ports, ...nfsSnippets(session, { host: known, ports, about }) };
}
