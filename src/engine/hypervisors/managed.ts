import {
  fingerprintOf,
  type HypervisorIdentity,
  type HypervisorRecord,
} from '../../formats/store/service/hypervisor.ts';
import { HypervisorError } from '../../hypervisors/base/hypervisor-error.ts';
import type { ShownHypervisor } from '../../operations/nouns/hypervisor.ts';
import type { JsonObject } from '../../lib/schema.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { ownAccount } from '../../sys/net/unix-peer.ts';
import type { JobService } from '../jobs/job-service.ts';
import {
  type Address,
  type Hypervisors,
  isThroughSsh,
  knownAddress,
  readAddress,
} from './hypervisors.ts';
import { makeKey, publicKey, scanHostKeys } from './ssh-keys.ts';

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
  const keys = isThroughSsh(uri) ? await scanHostKeys(hypervisors.run, uri, signal) : [];
  const shown = keys.map(({ type, fingerprint }) => ({ type, fingerprint }));
  return { uri: text, kind: driver.kind, keys: shown };
}

/** Rejects EXISTS; INVALID for an address that no driver understands, or without a host key that is needed. */
export async function add(
  hypervisors: Hypervisors,
  { hypervisor: name, uri, hostKey, sockets, scratch }: RequestOf<'hypervisor/add'>,
  { signal }: Work,
): Promise<ResultOf<'hypervisor/add'>> {
  const { files, world, run } = hypervisors;
  const address = readAddress(hypervisors, uri);
  const identity = await identityAt(hypervisors, address, { hostKey, signal });
  const key = identity && (await makeKey({ ...world, runProgram: run }, ownComment(name), signal));
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
  { hypervisor: name, uri, hostKey, sockets, scratch }: RequestOf<'hypervisor/change'>,
  { signal }: Work,
): Promise<ResultOf<'hypervisor/change'>> {
  const { files } = hypervisors;
  const before = await files.get(name);
  if ([uri, hostKey, sockets, scratch].every((it) => it === undefined)) {
    throw new SystemError(
      'INVALID',
      'nothing to change: give its new address, its new host key or a directory',
    );
  }
  const address = readAddress(hypervisors, uri ?? before.uri);
  if (
    address.driver.kind !== before.kind ||
    isThroughSsh(address.uri) !== (before.identity !== undefined)
  ) {
    const what = `${uri} is another kind of address than ${before.uri}`;
    throw new SystemError('INVALID', `${what}: remove "${name}", and add it again`);
  }
  const known = before.identity && fingerprintOf(before.identity);
  const isSamePlace = uri === undefined && hostKey === undefined;
  const identity = isSamePlace
    ? before.identity
    : await identityAt(hypervisors, address, { hostKey: hostKey ?? known, signal });
  const changed = await files.change(name, (record) => ({
    ...record,
    ...{ uri: uri ?? record.uri, identity, failure: undefined },
    sockets: sockets ?? record.sockets,
    scratch: scratch ?? record.scratch,
  }));
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
  { hostKey, signal }: Work & { readonly hostKey: string | undefined },
): Promise<HypervisorIdentity | undefined> {
  if (!isThroughSsh(uri)) {
    if (hostKey === undefined) return undefined;
    throw new SystemError(
      'INVALID',
      'a hypervisor that is not reached through SSH has no host key',
    );
  }
  const keys = await scanHostKeys(hypervisors.run, uri, signal);
  const found = keys.find(({ fingerprint }) => fingerprint === hostKey);
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
  const address = knownAddress(hypervisors, record.uri);
  if (!address) return { ...shown(record), authorizedKey: null, steps: [] };
  const { uri, driver } = address;
  if (!isThroughSsh(uri)) {
    const steps = driver.prepareHere?.(ownAccount(), uri, record.sockets) ?? [];
    return { ...shown(record), authorizedKey: null, steps };
  }
  const { key } = await hypervisors.files.sshFiles(record);
  const ours = await publicKey(hypervisors.run, key, signal);
  const authorizedKey = `${restrictions(driver.remoteCommand(uri))} ${ours}`;
  const { account = '' } = uri;
  return {
    ...shown(record),
    authorizedKey,
    steps: [...driver.prepare(account, record.sockets), ...authorize(account, authorizedKey)],
  };
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
