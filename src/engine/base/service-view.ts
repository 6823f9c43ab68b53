import { dirname } from 'node:path/posix';
import { hostFilesIn } from '../../operations/base/host-files.ts';
import { OPERATIONS, type OperationName, type RequestOf } from '../../operations/operations.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { hiddenDirectory, mayWrite } from '../../sys/files/file-view.ts';
import type { FailureKind } from '../../operations/base/failure.ts';

/*
 * Paths in a request are those of the machine, as the service sees and may use them: "there is no such image" for a
 * file that `ls` shows would be misleading. The message of a failure says what the service can do there, and where it
 * can.
 */

/** The service's own directory below /srv: appliance/install creates it. */
const OWN_PLACE = '/srv/holdfast-disks';
const KINDS: ReadonlySet<FailureKind> = new Set(['failed', 'denied', 'not-found']);

/** The message of a failure, with the effect of the service's own view of the files. */
export async function asSeenHere(
  { kind, message }: { readonly kind: FailureKind; readonly message: string },
  name: OperationName,
  request: object,
): Promise<string> {
  if (!KINDS.has(kind)) return message;
  const files = hostFilesIn(OPERATIONS[name].request, request).map(withoutScheme);
  const targets = writtenBy(name, request);
  for (const file of files) {
    const rights = targets.includes(file) ? 'rw' : 'r';
    const advice = (await hiddenAdvice(file)) ?? (await deviceAdvice(file, message, rights));
    if (advice !== undefined) return `${message}; ${advice}`;
  }
  // Devices are not created.
  const created = targets.filter((it) => it.startsWith('/') && !it.startsWith('/dev/'));
  for (const to of created) {
    if (message.endsWith(': there is no such directory')) {
      const make = `install -d -o holdfast -g holdfast ${dirname(to)}`;
      return `${message}; make it (${make}), or mount its disk`;
    }
    if (!(await mayWrite(dirname(to)))) return `${message}; ${await writeAdvice(dirname(to))}`;
  }
  return message;
}

/**
 * Rejects DENIED where a disk would be written into a /tmp of the service's own: no other process would find it, and
 * it would be gone when the service ends.
 */
export async function refuseHiddenTargets(name: OperationName, request: object): Promise<void> {
  for (const file of writtenBy(name, request)) {
    if ((await hiddenDirectory(file)) === undefined) continue;
    throw new SystemError('DENIED', `${file} is not written`);
  }
}

/** `unix:PATH` of an address. */
function withoutScheme(name: string): string {
  return name.replace(/^unix:/, '');
}

/** Files, devices and servers that a request would write disks to. */
function writtenBy(name: OperationName, request: object): readonly string[] {
  if (name === 'restore/disk') return [(request as RequestOf<'restore/disk'>).to];
  if (name === 'restore/images') {
    return [`${(request as RequestOf<'restore/images'>).to}/disk`];
  }
  if (name === 'session/finalize') {
    const { to, disks } = request as RequestOf<'session/finalize'>;
    return [...(to === undefined ? [] : [`${to}/disk`]), ...disks.map(({ where }) => where)];
  }
  if (name !== 'job/create') return [];
  const job = request as RequestOf<'job/create'>;
  if (job.kind === 'restore') return writtenBy('restore/disk', job.request);
  if (job.kind === 'restore-images') return writtenBy('restore/images', job.request);
  return job.kind === 'finalize' ? writtenBy('session/finalize', job.request) : [];
}

async function hiddenAdvice(file: string): Promise<string | undefined> {
  const hidden = await hiddenDirectory(file);
  if (hidden === undefined) return undefined;
  return (
    `the service cannot see what others see in ${hidden}: use another place, such as ${OWN_PLACE}` +
    (hidden.startsWith('/tmp') || hidden.startsWith('/var/tmp')
      ? ''
      : ', or let it read there ("systemctl edit holdfastd": ProtectHome=read-only)')
  );
}

/** Devices are closed to the service one by one, by the kernel's control groups. */
async function deviceAdvice(
  file: string,
  message: string,
  rights: 'r' | 'rw',
): Promise<string | undefined> {
  if (!file.startsWith('/dev/') || !/EPERM|not permitted/.test(message)) return undefined;
  const line = `DeviceAllow=${file} ${rights}`;
  return `the service may open only the devices that its unit names ("systemctl edit holdfastd": ${line})`;
}

async function writeAdvice(directory: string): Promise<string> {
  const may = `the service may not write in ${directory}: let its user (holdfast) write there, and add it to its unit`;
  const own = (await mayWrite(OWN_PLACE)) ? `, or use ${OWN_PLACE}, which is its own` : '';
  return `${may} if it is outside of /var/lib/holdfast and /srv ("systemctl edit holdfastd": ReadWritePaths=)${own}`;
}
