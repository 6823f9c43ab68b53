import type { HypervisorFiles } from '../../box/hypervisor-files.ts';
import type { HypervisorKind } from '../../formats/store/catalog/machine.ts';
import type { Hypervisor, HypervisorOptions } from '../../hypervisors/base/hypervisor.ts';
import {
  type HypervisorTarget,
  type HypervisorUri,
  parseHypervisorUri,
} from '../../hypervisors/base/target.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { World } from '../../sys/world.ts';
import type { RunSsh } from './ssh-keys.ts';

/** What the operations on hypervisors work on. */
export interface Hypervisors {
  readonly world: World;
  readonly files: HypervisorFiles;
  readonly drivers: readonly HypervisorDriver[];
  readonly run: RunSsh;
}

/** How hypervisors of one kind are spoken with. */
export interface HypervisorDriver {
  readonly kind: HypervisorKind;
  /** How addresses that it understands begin: "qemu", "qemu+ssh". "+ssh" means through SSH, "+tls" through TLS. */
  readonly schemes: readonly string[];
  /** An address for people, such as "qemu+ssh://ACCOUNT@HOST/system". */
  readonly example: string;
  /** Rejects HypervisorError. */
  open(options: OpenOptions, signal: AbortSignal): Promise<Hypervisor>;
  /** What the account runs there when it logs in with our key: it can run nothing else. */
  remoteCommand(uri: HypervisorUri): string;
  /** Commands that root runs there, so that the account may do what backups need. */
  prepare(account: string, sockets: string | undefined): readonly string[];
  /** The same for this host, if it is reached without SSH, and for the account that this process runs as. */
  prepareHere?(account: string, uri: HypervisorUri, sockets: string | undefined): readonly string[];
  /** The same for a host that is reached through TLS. */
  readonly prepareTls?: readonly string[];
}

export interface OpenOptions extends HypervisorOptions, Pick<World, 'clock' | 'files'> {
  readonly target: HypervisorTarget;
  /** Directories on the hypervisor, if they are not the usual ones: see HypervisorRecord. */
  readonly sockets: string | undefined;
  readonly scratch: string | undefined;
}

export interface Address {
  readonly uri: HypervisorUri;
  readonly driver: HypervisorDriver;
}

/** Undefined: no driver understands it. */
export function knownAddress(
  { drivers }: Pick<Hypervisors, 'drivers'>,
  text: string,
): Address | undefined {
  const uri = parseHypervisorUri(text);
  const driver = uri && drivers.find(({ schemes }) => schemes.includes(uri.scheme));
  return uri && driver && { uri, driver };
}

/** Throws INVALID if no driver understands it. */
export function readAddress(hypervisors: Pick<Hypervisors, 'drivers'>, text: string): Address {
  const address = knownAddress(hypervisors, text);
  if (!address) {
    const known = hypervisors.drivers.map(({ example }) => example).join(', ');
    const advice =
      known === ''
        ? 'this release has no driver for any hypervisor'
        : `an address is like ${known}`;
    throw new SystemError('INVALID', `no hypervisor is reached at "${text}": ${advice}`);
  }
  const { uri } = address;
  if (isThroughSsh(uri) && (uri.host === undefined || uri.account === undefined)) {
    const advice = `write ${uri.scheme}://ACCOUNT@HOST${uri.path}`;
    throw new SystemError(
      'INVALID',
      `"${text}" does not say which account of which host: ${advice}`,
    );
  }
  if (isThroughTls(uri) && uri.host === undefined) {
    const advice = `write ${uri.scheme}://HOST${uri.path}`;
    throw new SystemError('INVALID', `"${text}" does not say which host: ${advice}`);
  }
  return address;
}

export function isThroughTls({ scheme }: HypervisorUri): boolean {
  return scheme.endsWith('+tls');
}

export function isThroughSsh({ scheme }: HypervisorUri): boolean {
  return scheme.endsWith('+ssh');
}
