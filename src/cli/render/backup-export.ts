import { shellWords } from '../../lib/shell-words.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { ResultOf } from '../../operations/operations.ts';
import { BackupIncomplete, DamageFound } from '../base/command-errors.ts';
import { fact, table } from '../base/output.ts';
import type { Renders } from './render.ts';

export const render = {
  'backup/export': { text: exportText, failure: exportFailure },
  'backup/import': {
    text: ({ sets, points, storedBytes, ...rest }) =>
      [
        ...sets.map(({ set, from, isNew, encrypted }) => {
          const as = set === from ? '' : ` as "${set}"`;
          const kind = encrypted ? 'encrypted' : 'NOT ENCRYPTED';
          return `Set "${from}"${as}${isNew ? ', new in this store' : ''}, ${kind}`;
        }),
        ...points.map(({ point, state, reason }) => {
          return `${STATES[state]} ${point}${reason === null ? '' : `: ${reason}`}`;
        }),
        ...damageLines(rest),
        `${formatSize(storedBytes)} stored`,
      ].join('\n'),
    failure({ points, fileDamage }) {
      const failed = points.filter(({ state }) => state === 'failed').length;
      if (fileDamage.length > 0) return new DamageFound(`the file is damaged; ${count(failed)}`);
      return failed > 0 ? new BackupIncomplete(count(failed)) : undefined;
    },
  },
  'backup/inspect-export': {
    text: ({ created, sets, points, isRead, ...rest }) =>
      [
        fact('written', created ?? 'not known'),
        ...sets.map(({ set, encrypted }) =>
          fact('set', `${set}, ${encrypted ? 'encrypted' : 'not encrypted'}`),
        ),
        table(
          ['POINT', 'SET', 'MACHINE', 'CREATED', 'DISKS', 'NEW'],
          points.map(({ point, set, machine, created, disks, bytes }) => [
            ...[point, set, machine, created],
            disks.map(({ name, size }) => `${name} ${formatSize(size)}`).join(', '),
            formatSize(bytes),
          ]),
        ),
        ...damageLines(rest),
        ...(isRead && rest.fileDamage.length === 0 ? ['The file is whole.'] : []),
      ].join('\n'),
    failure: ({ fileDamage }) =>
      fileDamage.length > 0 ? new DamageFound('the file is damaged: see above') : undefined,
  },
} satisfies Renders;

const INSPECT = ['holdfast', 'backup', 'inspect-export'];

type Exported = Omit<ResultOf<'backup/export'>, 'to'>;

function exportText({ to, ...result }: ResultOf<'backup/export'>): string {
  return [
    ...exportedLines(result),
    `${to}: ${formatSize(result.bytes)}. To check it: ${shellWords([...INSPECT, to, '--read-data'])}`,
  ].join('\n');
}

export function exportedLines({ points, failed }: Exported): string[] {
  return [
    ...points.map(({ point }) => `exported  ${point}`),
    ...failed.map(({ point, reason }) => `NOT EXPORTED ${point}: ${reason}`),
  ];
}

export function exportFailure({ failed: { length } }: Exported): Error | undefined {
  if (length === 0) return undefined;
  const what = length === 1 ? '1 recovery point is' : `${length} recovery points are`;
  return new DamageFound(`${what} not in the file: see above, and run "store check"`);
}

const STATES = {
  imported: 'imported ',
  exists: 'exists   ',
  new: 'new      ',
  failed: 'NOT IMPORTED',
};

function count(failed: number): string {
  const what = failed === 1 ? '1 recovery point was' : `${failed} recovery points were`;
  return `${what} not imported: see above`;
}

interface Damage {
  readonly fileDamage: ResultOf<'backup/import'>['fileDamage'];
  readonly moreDamage: number;
}

function damageLines({ fileDamage, moreDamage }: Damage): string[] {
  return [
    ...fileDamage.map(({ offset, what }) => `DAMAGED at byte ${offset}: ${what}`),
    ...(moreDamage > 0 ? [`DAMAGED at ${moreDamage} more places`] : []),
  ];
}
