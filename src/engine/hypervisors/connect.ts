import type { HypervisorFiles } from '../../box/hypervisor-files.ts';
import type { HypervisorRecord } from '../../formats/store/service/hypervisor.ts';
import type { Hypervisor } from '../../hypervisors/base/hypervisor.ts';
import { HypervisorError } from '../../hypervisors/base/hypervisor-error.ts';
import type { HypervisorUri, SshTarget, TlsTarget } from '../../hypervisors/base/target.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { type Hypervisors, isThroughSsh, isThroughTls, readAddress } from './hypervisors.ts';
import { SSH_PORT } from './ssh-keys.ts';
import { TLS_PORT, tlsServerOf } from './tls-files.ts';

export interface ConnectOptions {
  /** The ID of the store whose backups these are. */
  readonly owner: string;
  readonly signal: AbortSignal;
}

/** An answer is noted again after this time: not with each of many short connections. */
const NOTE_MS = 60_000;
/** A field of a record is not longer. */
const MESSAGE_MAX = 4096;

/**
 * Connects to a hypervisor that was added, and notes whether it answered. The caller disposes of it. Rejects
 * NOT_FOUND, DENIED if others may read our key, HypervisorError.
 */
export async function connect(
  hypervisors: Hypervisors,
  name: string,
  { owner, signal }: ConnectOptions,
): Promise<Hypervisor> {
  const record = await hypervisors.files.get(name);
  const { uri, driver } = readAddress(hypervisors, record.uri);
  const ssh = await sshOf(hypervisors, { record, uri });
  const tls = await tlsOf(hypervisors, { record, uri });
  const { sockets, scratch } = record;
  let opened: Hypervisor;
  try {
    const options = {
      ...hypervisors.world,
      target: { uri, ssh, tls },
      name,
      owner,
      sockets,
      scratch,
    };
    opened = await driver.open(options, signal);
  } catch (cause) {
    if (!(cause instanceof HypervisorError)) throw cause;
    const failure = withAdvice(cause, record);
    await noteFailure(hypervisors, record, failure.message);
    throw failure;
  }
  await noteContact(hypervisors, record, opened);
  return opened;
}

/** What SSH needs; undefined: the way to it is another one. */
async function sshOf(
  { files }: Hypervisors,
  { record, uri }: { readonly record: HypervisorRecord; readonly uri: HypervisorUri },
): Promise<SshTarget | undefined> {
  const { account = '', host = '', port = SSH_PORT } = uri;
  if (!isThroughSsh(uri)) return undefined;
  const { key, knownHosts } = await files.sshFiles(record);
  return { ...{ account, host, port }, key, knownHosts, alias: record.name };
}

/** What TLS needs; undefined: the way to it is another one. */
async function tlsOf(
  { files }: Hypervisors,
  { record, uri }: { readonly record: HypervisorRecord; readonly uri: HypervisorUri },
): Promise<TlsTarget | undefined> {
  if (!isThroughTls(uri)) return undefined;
  const { host = '', port = TLS_PORT } = uri;
  const server = tlsServerOf(record, { host, own: await files.tlsKey(record) });
  return { host, port, server };
}

/** The same, with what to do about it where only Holdfast knows that. */
function withAdvice(cause: HypervisorError, { name, identity }: HypervisorRecord): HypervisorError {
  if (cause.code !== 'IDENTITY') return cause;
  const advice =
    identity?.kind === 'authority'
      ? 'something else may answer there. If another authority vouches for it now: ' +
        `holdfast hypervisor change ${name} --ca FILE`
      : 'something else may answer there. If its key was changed, compare the new fingerprint with the one that it ' +
        `shows on its own console, then: holdfast hypervisor change ${name} --host-key FINGERPRINT`;
  return new HypervisorError('IDENTITY', `${cause.message}; ${advice}`, {
    ...{ cause, native: cause.native },
  });
}

async function noteContact(
  { files, world: { clock } }: Hypervisors,
  { name, contact, failure }: HypervisorRecord,
  { facts: { product, host } }: Hypervisor,
): Promise<void> {
  const now = clock.now();
  const isSame = contact?.product === product && contact.host === host && failure === undefined;
  if (isSame && Math.abs(now.getTime() - Date.parse(contact.time)) < NOTE_MS) return;
  const time = now.toISOString();
  await note(files, name, { contact: { time, product, host }, failure: undefined });
}

async function noteFailure(
  { files, world: { clock } }: Hypervisors,
  { name }: HypervisorRecord,
  message: string,
): Promise<void> {
  const time = clock.now().toISOString();
  const failure = { time, message: message.slice(0, MESSAGE_MAX) };
  await note(files, name, { failure });
}

/** A note that cannot be written must not prevent a backup. */
async function note(
  files: HypervisorFiles,
  name: string,
  what: Partial<Pick<HypervisorRecord, 'contact' | 'failure'>>,
): Promise<void> {
  try {
    await files.change(name, (record) => ({ ...record, ...what }));
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
  }
}
