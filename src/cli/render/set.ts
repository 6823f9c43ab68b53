import { retentionText } from '../../client/retention-text.ts';
import type { SetRules } from '../../operations/base/retention.ts';
import { fact, table } from '../base/output.ts';
import type { Renders } from './render.ts';

const keeps = ({ retention }: SetRules): string =>
  retention === null ? 'all backups' : retentionText(retention);
const refusals = ({ retentionProblem }: SetRules): string[] =>
  retentionProblem === null ? [] : [`NOT APPLIED ${retentionProblem}`];

export const render = {
  'set/list': {
    text: ({ sets }) =>
      table(
        ['SET', 'CREATED', 'ENCRYPTED', 'PASSKEY', 'KEEPS', 'LOCKED FOR'],
        sets.map((it) => [
          ...[it.set, it.created],
          ...[
            it.encrypted ? 'yes' : 'no',
            it.passkey ? 'yes' : 'no',
            keeps(it),
            lockText(it.lockDays),
          ],
        ]),
      ),
    say: ({ sets, damaged }) => [
      ...sets.flatMap(({ problem }) => (problem === null ? [] : [`REFUSED ${problem}`])),
      ...sets.flatMap(refusals),
      ...damaged.map(({ reason }) => `DAMAGED ${reason}`),
    ],
  },
  'set/show': {
    text: (it) =>
      [
        fact('set', it.set),
        fact('created', it.created),
        fact('encrypted', it.encrypted ? 'yes' : 'no'),
        fact('passkey', it.passkey ? 'yes' : 'no'),
        ...it.secrets.map(({ kind, id }) =>
          fact(kind === 'passphrase' ? kind : 'recovery key', id),
        ),
        fact('keeps', keeps(it)),
        fact('locked for', lockText(it.lockDays)),
      ].join('\n'),
    say: (it) => [...(it.problem === null ? [] : [`REFUSED ${it.problem}`]), ...refusals(it)],
  },
  'set/lock': ({ set, lockDays }) =>
    lockDays === 0
      ? `New recovery points of set "${set}" are not locked. Existing locks stay.`
      : `New recovery points of set "${set}" are locked for ${lockText(lockDays)}.`,
  'set/remove-passphrase': {
    text: ({ set, removed }) => `Passphrase ${removed.join(', ')} no longer opens set "${set}".`,
    say: ({ notes }) => [...notes],
  },
  'set/change-recovery-key': {
    text: ({ set, recoveryKey }) =>
      [
        `The new recovery key of set "${set}", shown only this once:`,
        ...['', `  ${recoveryKey}`, ''],
        'Write it down and keep it away from the store. The former one is void.',
      ].join('\n'),
    say: ({ notes }) => [...notes],
  },
  'set/change': {
    text: (it) => `Set ${it.set} keeps ${keeps(it)}`,
    say: refusals,
  },
} satisfies Renders;

function lockText(days: number | null): string {
  if (days === null) return 'CANNOT BE READ';
  return days === 0 ? 'no' : days === 1 ? '1 day' : `${days} days`;
}
