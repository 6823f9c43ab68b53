import type { RequestOf } from '../../operations/operations.ts';
import type { Context, Input } from '../base/command.ts';
import { UsageError } from '../base/command-errors.ts';

/** Of a backup, whether it is made now, in the background, or by a schedule. */
export const BACKUP_OPTIONS = {
  machine: { type: 'string' },
  disk: { type: 'string', multiple: true },
  format: { type: 'string' },
  changed: { type: 'string' },
} as const;

export const RETENTION_OPTIONS = {
  'keep-last': { type: 'string' },
  'keep-daily': { type: 'string' },
  'keep-weekly': { type: 'string' },
  'keep-monthly': { type: 'string' },
  'keep-yearly': { type: 'string' },
} as const;

export const RETENTION_DETAILS = [
  '--keep-last N, --keep-daily N, --keep-weekly N, --keep-monthly N, --keep-yearly N',
  "                   the newest of so many days (weeks, ...) that have one, in UTC, of the machine's backups; what",
  '                   no rule keeps is forgotten, unless a session runs from it. Kept sessions stay.',
] as const;

/** Throws UsageError. */
export async function backupRequest(
  set: string,
  input: Input,
  { path }: Context,
): Promise<RequestOf<'backup/create'>> {
  const disks: { readonly name: string; readonly where: string }[] = [];
  for (const { name, where } of input.texts('disk').map(parseDisk)) {
    disks.push({ name, where: await path(where) });
  }
  if (disks.length === 0) throw new UsageError('--disk NAME=IMAGE is missing');
  const changed = input.text('changed');
  return {
    ...{ set, machine: input.required('machine'), disks, format: input.text('format') },
    changed: changed === undefined ? undefined : await path(changed),
  };
}

/** Undefined: nothing is said of it. Throws UsageError. */
export function retentionOf(input: Input): RequestOf<'backup/retain'>['retention'] | undefined {
  if (!Object.keys(RETENTION_OPTIONS).some((option) => input.has(option))) return undefined;
  const count = (name: string): number => {
    const given = input.text(`keep-${name}`) ?? '0';
    if (/^\d{1,5}$/.test(given)) return Number(given);
    throw new UsageError(`--keep-${name}: a number`);
  };
  const [last, daily, weekly] = [count('last'), count('daily'), count('weekly')];
  return { last, daily, weekly, monthly: count('monthly'), yearly: count('yearly') };
}

function parseDisk(text: string): { readonly name: string; readonly where: string } {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1) throw new UsageError(`--disk ${text}: not NAME=IMAGE`);
  return { name: text.slice(0, at), where: text.slice(at + 1) };
}
