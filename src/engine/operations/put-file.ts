import { GranularError } from '../../file-restore/base/file-restore-error.ts';
import { sha256Of } from '../../formats/wire/guest-agent.ts';
import { GUEST_FILE_MAX, type GuestFile } from '../../hypervisors/base/guest-files.ts';
import type { Hypervisor } from '../../hypervisors/base/hypervisor.ts';
import { HypervisorError } from '../../hypervisors/base/hypervisor-error.ts';
import type { MachineId } from '../../hypervisors/base/machines.ts';
import { SchemaError } from '../../lib/schema.ts';
import { formatSize } from '../../lib/sizes.ts';
import { type OpenedVolumes, READ_MAX } from '../../operations/nouns/files.ts';
import type { FilesOperationName, RequestOf, ResultOf } from '../../operations/operations.ts';
import type { CallOptions, Handlers } from '../base/call.ts';
import type { Engine } from '../base/engine.ts';
import { connect } from '../hypervisors/connect.ts';
import type { Hypervisors } from '../hypervisors/hypervisors.ts';
import { machineNamed } from '../hypervisors/readiness.ts';

/*
 * One file of a recovery point, back into a guest that runs: read by the small service that mounts volumes, handed to
 * the guest's agent by this one, which has the hypervisors.
 */
interface PutParts {
  readonly engine: Engine;
  readonly hypervisors: Hypervisors;
  /** `files/open` with the keys that it needs. */
  readonly files: Handlers<FilesOperationName>;
}

type Request = RequestOf<'files/put'>;

export async function putIntoGuest(
  { engine, hypervisors, files }: PutParts,
  request: Request,
  options: CallOptions,
): Promise<ResultOf<'files/put'>> {
  const { signal, report } = options;
  const to = targetOf(request.to);
  // First: opening volumes takes longer, and so does giving up then.
  await using host = await connect(hypervisors, to.hypervisor, { owner: engine.store.id, signal });
  const { guests } = host;
  if (!guests) {
    const what = `${to.hypervisor} cannot put files into guests: use "files get", and the guest's network`;
    throw new HypervisorError('UNSUPPORTED', what);
  }
  const id = await runningMachine(host, to, signal);
  const file = await fileOf(files, request, options);
  const { bytes } = file;
  const put = await guests.put(
    id,
    { ...file, path: to.path, overwrite: request.overwrite },
    {
      nonce: Buffer.from(engine.store.random.bytes(8)).toString('hex'),
      signal,
      onProgress: ({ phase, position }) =>
        report({ event: 'progress', phase, position, total: bytes.length }),
    },
  );
  return {
    ...{ machine: `${to.hypervisor}/${to.machine}`, path: to.path, size: bytes.length },
    ...{ sha256: sha256Of(bytes), replaced: put.replaced, lost: [...put.lost] },
  };
}

interface Target {
  readonly hypervisor: string;
  readonly machine: string;
  readonly path: string;
}

/** Throws SchemaError. */
function targetOf(to: string): Target {
  const [, hypervisor, machine, path] = /^([^/]+)\/([^:]+):(.+)$/.exec(to) ?? [];
  if (hypervisor !== undefined && machine !== undefined && path !== undefined) {
    return { hypervisor, machine, path };
  }
  throw new SchemaError(['to'], 'not HYPERVISOR/MACHINE:PATH, such as kvm1/web1:/etc/fstab');
}

async function runningMachine(
  host: Hypervisor,
  { hypervisor, machine }: Target,
  signal: AbortSignal,
): Promise<MachineId> {
  const found = machineNamed(host, await host.machines(signal), machine);
  if (found.power === 'on') return found.id;
  const what = `${hypervisor}/${machine} is ${found.power}: start it, because the agent of its guest writes the file`;
  throw new HypervisorError('UNREACHABLE', what);
}

/** Opens the volumes for as long as it reads. */
async function fileOf(
  files: PutParts['files'],
  { what, disk, volume, isolated, path }: Request,
  options: CallOptions,
): Promise<Pick<GuestFile, 'bytes' | 'mode' | 'owner'>> {
  const opened = await files['files/open']({ what, disk, isolated }, options);
  const { id } = opened;
  try {
    const name = volume ?? (await volumeWith(files, { opened, path }, options));
    return await readWhole(files, { opened, volume: name, path }, options);
  } finally {
    // Also after an abort.
    const anyway = { ...options, signal: new AbortController().signal };
    await files['files/close']({ id }, anyway).catch(() => {});
  }
}

interface Place {
  readonly opened: OpenedVolumes;
  readonly path: string;
}

/** The only volume that has the path. Rejects NOT_FOUND, AMBIGUOUS. */
async function volumeWith(
  files: PutParts['files'],
  { opened: { id, volumes }, path }: Place,
  options: CallOptions,
): Promise<string> {
  const open = volumes.filter(({ closed }) => closed === null).map(({ volume }) => volume);
  if (open.length <= 1) {
    const [only] = open;
    if (only !== undefined) return only;
    const why = volumes.map(({ volume, closed }) => `${volume}: ${closed}`).join('; ');
    throw new GranularError(
      'UNSUPPORTED',
      `no volume can be opened: ${why || 'the disk is empty'}`,
    );
  }
  const having: string[] = [];
  let first: unknown;
  for (const volume of open) {
    try {
      await files['files/read']({ id, volume, path, first: 0, length: 0 }, options);
      having.push(volume);
    } catch (cause) {
      options.signal.throwIfAborted();
      first ??= cause;
    }
  }
  if (having.length === 1) return having[0]!;
  if (having.length === 0) throw first;
  const names = having.join(', ');
  throw new GranularError('AMBIGUOUS', `${names} have ${path}: choose with --volume`);
}

async function readWhole(
  files: PutParts['files'],
  { opened: { id, volumes }, volume, path }: Place & { readonly volume: string },
  options: CallOptions,
): Promise<Pick<GuestFile, 'bytes' | 'mode' | 'owner'>> {
  const parts: Uint8Array[] = [];
  for (let first = 0; ; ) {
    const asked = { id, volume, path, first, length: READ_MAX };
    const { size, mode, uid, gid, base64 } = await files['files/read'](asked, options);
    if (size > GUEST_FILE_MAX) throw tooLarge(path, size);
    const part = Buffer.from(base64, 'base64');
    parts.push(part);
    first += part.length;
    options.report({ event: 'progress', phase: 'read', position: first, total: size });
    if (first < size && part.length > 0) continue;
    const bytes = Buffer.concat(parts);
    if (bytes.length !== size) {
      throw new GranularError('UNREADABLE', `${path}: ${bytes.length} bytes, not ${size}`);
    }
    const kind = volumes.find((it) => it.volume === volume)?.kind ?? '';
    // A mount of a file system of Windows invents owners and rights.
    if (/ntfs|fat/i.test(kind)) return { bytes, mode: undefined, owner: undefined };
    return { bytes, mode, owner: { user: uid, group: gid } };
  }
}

function tooLarge(path: string, size: number): GranularError {
  const limit = `${formatSize(size)}, and at most ${formatSize(GUEST_FILE_MAX)} go through an agent`;
  const advice = 'copy it out with "files get", and bring it into the guest over its network';
  return new GranularError('UNSUPPORTED', `${path} has ${limit}: ${advice}`);
}
