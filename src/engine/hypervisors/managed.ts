import {
  fingerprintOf,
  type HypervisorIdentity,
  type HypervisorRecord,
} from '../../formats/store/service/hypervisor.ts';
import { HypervisorError } from '../../hypervisors/base/hypervisor-error.ts';
import type { HypervisorUri } from '../../hypervisors/base/target.ts';
import type { ShownHypervisor } from '../../operations/nouns/hypervisor.ts';
import type { JsonObject } from '../../lib/schema.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { ownAccount } from '../../sys/net/unix-peer.ts';
import { shownFingerprint } from '../../sys/net/tls-client.ts';
import type { JobService } from '../jobs/job-service.ts';
import {
  type Address,
  type Hypervisors,
  isThroughSsh,
  isThroughTls,
  knownAddress,
  readAddress,
} from './hypervisors.ts';
import { type HostKey, makeKey, publicKey, scanHostKeys } from './ssh-keys.ts';
import { authorityIn, ownPair, TLS_PORT, type TlsPaths } from './tls-files.ts';

/* Hypervisors are added, shown, changed and removed: here, and never on the hypervisors themselves. */

interface Work {
  readonly signal: AbortSignal;
}

export async function identify(
  hypervisors: Hypervisors,
  { uri: text }: RequestOf<'hypervisor/identify'>,
  { signal }: Work,
): Promise<ResultOf<'hypervisor/identify'>> {
  const { uri, driver } = readAddress(hypervisors, text);
  const keys = await shownKeys(hypervisors, uri, signal);
  const shown = keys.map(({ type, fingerprint }) => ({ type, fingerprint }));
  return { uri: text, kind: driver.kind, keys: shown };
}

/** Rejects EXISTS; INVALID for an address that no driver understands, or without a host key that is needed. */
export async function add(
  hypervisors: Hypervisors,
  request: RequestOf<'hypervisor/add'>,
  { signal }: Work,
): Promise<ResultOf<'hypervisor/add'>> {
  const { hypervisor: name, uri, sockets, scratch } = request;
  const { files, world, run } = hypervisors;
  const address = readAddress(hypervisors, uri);
  const paths = tlsPathsOf(address, request);
  const pair = await ownPair(world.files, paths);
  if (isThroughTls(address.uri) && pair === undefined) {
    const advice =
      'give a certificate that its authority has signed: --client-certificate, --client-key';
    throw new SystemError(
      'INVALID',
      `libvirt is reached through TLS only with a certificate: ${advice}`,
    );
  }
  const identity = await identityAt(hypervisors, address, { ...request, ...paths, signal });
  const key = isThroughSsh(address.uri)
    ? await makeKey({ ...world, runProgram: run }, ownComment(name), signal)
    : pair;
  const record: HypervisorRecord = {
    ...{ name, kind: address.driver.kind, uri, identity, sockets, scratch },
    added: world.clock.now().toISOString(),
    ...{ contact: undefined, failure: undefined },
  };
  await files.add(record, key);
  return withSteps(hypervisors, record, signal);
}

export async function list({ files }: Hypervisors): Promise<ResultOf<'hypervisor/list'>> {
  const { records, damaged } = await files.list();
  return { hypervisors: records.map(shown), damaged };
}

export async function show(
  hypervisors: Hypervisors,
  { hypervisor }: RequestOf<'hypervisor/show'>,
  { signal }: Work,
): Promise<ResultOf<'hypervisor/show'>> {
  return withSteps(hypervisors, await hypervisors.files.get(hypervisor), signal);
}

/** Rejects NOT_FOUND, INVALID, and IDENTITY if it does not answer with the key that it should have. */
export async function change(
  hypervisors: Hypervisors,
  request: RequestOf<'hypervisor/change'>,
  { signal }: Work,
): Promise<ResultOf<'hypervisor/change'>> {
  const { hypervisor: name, uri, hostKey, sockets, scratch, ca } = request;
  const { files } = hypervisors;
  const before = await files.get(name);
  const { hypervisor: _, ...asked } = request;
  if (Object.values(asked).every((it) => it === undefined)) {
    throw new SystemError(
      'INVALID',
      'nothing to change: give its new address, its new host key or a directory',
    );
  }
  const address = readAddress(hypervisors, uri ?? before.uri);
  if (
    address.driver.kind !== before.kind ||
    isThroughSsh(address.uri) !== (before.identity?.kind === 'ssh-key') ||
    isThroughTls(address.uri) !== isForTls(before.identity)
  ) {
    const what = `${uri} is another kind of address than ${before.uri}`;
    throw new SystemError('INVALID', `${what}: remove "${name}", and add it again`);
  }
  const paths = tlsPathsOf(address, request);
  const pair = await ownPair(hypervisors.world.files, paths);
  const known = before.identity && fingerprintOf(before.identity);
  const isSamePlace = uri === undefined && hostKey === undefined && ca === undefined;
  // An authority vouches for each of its hosts, wherever that is.
  const isKept = isSamePlace || (before.identity?.kind === 'authority' && !hostKey && !ca);
  const identity = isKept
    ? before.identity
    : await identityAt(hypervisors, address, { hostKey: hostKey ?? known, ca, signal });
  const changed = await files.change(
    name,
    (record) => ({
      ...record,
      ...{ uri: uri ?? record.uri, identity, failure: undefined },
      sockets: sockets ?? record.sockets,
      scratch: scratch ?? record.scratch,
    }),
    pair,
  );
  return withSteps(hypervisors, changed, signal);
}

/** Rejects NOT_FOUND; BUSY if a schedule of the service backs up from it, unless it is forced. */
export async function remove(
  { files }: Hypervisors,
  jobs: Pick<JobService, 'schedules'> | undefined,
  { hypervisor: name, force }: RequestOf<'hypervisor/remove'>,
): Promise<ResultOf<'hypervisor/remove'>> {
  const using = (jobs?.schedules.list() ?? [])
    .map(({ schedule }) => schedule)
    .find(({ request }) => isFrom(request, name));
  if (using && !force) {
    const advice = `"holdfast schedule remove ${using.name}" first, or --force`;
    throw new SystemError('BUSY', `schedule "${using.name}" backs up from "${name}": ${advice}`);
  }
  await files.remove(name);
  return { hypervisor: name, removed: true };
}

/** Whether the request of a job names machines of it, as HYPERVISOR/MACHINE. */
function isFrom({ from }: JsonObject, name: string): boolean {
  return Array.isArray(from) && from.some((it) => String(it).startsWith(`${name}/`));
}

/** By what the hypervisor at an address is recognized; undefined: it is this host. */
async function identityAt(
  hypervisors: Hypervisors,
  { uri }: Address,
  { hostKey, ca, signal }: Recognized,
): Promise<HypervisorIdentity | undefined> {
  if (ca !== undefined) return authorityIn(hypervisors.world.files, ca);
  const keys = await shownKeys(hypervisors, uri, signal);
  if (keys.length === 0) {
    if (hostKey === undefined) return undefined;
    const message =
      'a hypervisor that is reached neither through SSH nor through TLS has no host key';
    throw new SystemError('INVALID', message);
  }
  const found = keys.find(({ fingerprint }) => fingerprint === hostKey);
  if (found && isThroughTls(uri)) return { kind: 'certificate', fingerprint: found.fingerprint };
  if (found) return { kind: 'ssh-key', type: found.type, key: found.key };
  const words = keys.map(({ type, fingerprint }) => `${fingerprint} (${type})`).join(', ');
  if (hostKey === undefined) {
    const advice = 'compare one with what it shows on its own console, and give that';
    throw new SystemError('INVALID', `${uri.host} has the host keys ${words}: ${advice}`);
  }
  throw new HypervisorError(
    'IDENTITY',
    `${uri.host} has no host key ${hostKey}, but ${words}: something else may answer there. Nothing was changed; ` +
      'compare the fingerprint with the one that the hypervisor shows on its own console',
  );
}

interface Recognized extends Work {
  readonly hostKey: string | undefined;
  /** The path of an authority's certificate, which takes the place of any other recognition. */
  readonly ca: string | undefined;
}

/** Those by which the hypervisor at an address can be recognized; none: it is this host. */
async function shownKeys(
  { run }: Hypervisors,
  uri: HypervisorUri,
  signal: AbortSignal,
): Promise<readonly HostKey[]> {
  if (isThroughSsh(uri)) return scanHostKeys(run, uri, signal);
  if (!isThroughTls(uri)) return [];
  const { host = '', port = TLS_PORT } = uri;
  const fingerprint = await shownFingerprint({ host, port }, signal);
  return [{ type: CERTIFICATE, key: '', fingerprint }];
}

const CERTIFICATE = 'certificate';

function isForTls(identity: HypervisorIdentity | undefined): boolean {
  return identity?.kind === 'certificate' || identity?.kind === 'authority';
}

/** Throws INVALID for files that the way to it does not use. */
function tlsPathsOf({ uri }: Address, { ca, clientCertificate, clientKey }: TlsPaths): TlsPaths {
  const isGiven = [ca, clientCertificate, clientKey].some((it) => it !== undefined);
  if (!isGiven || isThroughTls(uri)) return { ca, clientCertificate, clientKey };
  throw new SystemError(
    'INVALID',
    `certificates are for addresses of TLS, such as qemu+tls://HOST/system, not for ${uri.scheme}://`,
  );
}

function ownComment(name: string): string {
  return `holdfast-${name}`;
}

function shown(record: HypervisorRecord): ShownHypervisor {
  const { name, kind, uri, identity, added, contact, failure } = record;
  const { sockets = null, scratch = null } = record;
  return {
    ...{ hypervisor: name, kind, uri, sockets, scratch, added },
    fingerprint: identity ? fingerprintOf(identity) : null,
    contact: contact?.time ?? null,
    product: contact?.product ?? null,
    host: contact?.host ?? null,
    failed: failure?.time ?? null,
    failure: failure?.message ?? null,
  };
}

async function withSteps(
  hypervisors: Hypervisors,
  record: HypervisorRecord,
  signal: AbortSignal,
): Promise<ResultOf<'hypervisor/show'>> {
  const plain = { ...shown(record), authorizedKey: null, steps: [] };
  const address = knownAddress(hypervisors, record.uri);
  if (!address) return plain;
  const { uri, driver } = address;
  if (isThroughTls(uri)) return { ...plain, steps: driver.prepareTls ?? [] };
  if (!isThroughSsh(uri)) {
    return { ...plain, steps: driver.prepareHere?.(ownAccount(), uri, record.sockets) ?? [] };
  }
  const { key } = await hypervisors.files.sshFiles(record);
  const ours = await publicKey(hypervisors.run, key, signal);
  const authorizedKey = `${restrictions(driver.remoteCommand(uri))} ${ours}`;
  const { account = '' } = uri;
  const steps = [...driver.prepare(account, record.sockets), ...authorize(account, authorizedKey)];
  return { ...plain, authorizedKey, steps };
}

/**
 * Our key can run one command, and reach sockets that the account may open: QEMU's, for the disks. It cannot listen:
 * a port has to be named that no account can take, because OpenSSH has no word for none. Ports to connect to cannot be
 * closed as well: "permitopen" and "AllowTcpForwarding" close the way to sockets too (OpenSSH 9.2, channels.c).
 */
function restrictions(command: string): string {
  return `restrict,port-forwarding,permitlisten="localhost:1",command="${command}"`;
}

function authorize(account: string, line: string): readonly string[] {
  return [
    `install -d -m 700 -o ${account} -g ${account} ~${account}/.ssh`,
    `echo '${line}' >>~${account}/.ssh/authorized_keys`,
    `chown ${account}: ~${account}/.ssh/authorized_keys`,
  ];
}
