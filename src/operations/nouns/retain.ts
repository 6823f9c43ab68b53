import { field, flag, list, object, optional, withDefault } from '../../lib/schema.ts';
import { count, damaged, MANY, name, setName, time, word } from '../base/fields.ts';
import { mutation } from '../base/operation.ts';
import { judgedPoint, retention, usedRules } from '../base/retention.ts';

/* Recovery points forgotten by rules. */

const retain = mutation('backup/retain', {
  summary: 'Forget recovery points by age',
  description:
    'The rules apply to the backups of each machine. Each rule keeps the newest backup of each of the last N hours, ' +
    'days, weeks (ISO 8601), months or years that have a backup, as in restic 0.14. Backups that no rule keeps are ' +
    'forgotten, except those in use by a session, protected, held or locked. The newest backup of a machine, ' +
    'recovery points that were kept from sessions, and damaged ones always stay.',
  runs: 'store',
  changes: ['backup'],
  job: { kind: 'retain' },
  request: object({
    set: setName,
    machine: field(optional(name), 'only the backups of this machine', {
      ...{ placeholder: 'MACHINE', names: 'machines' },
    }),
    retention: field(optional(retention), 'which backups stay (default: the rules of the set)'),
    dryRun: field(
      withDefault(flag(), false),
      'only show what would be forgotten, what would stay, and why',
    ),
  }),
  result: object({
    retention: field(usedRules, 'the rules'),
    kept: field(count, 'how many stay, whatever keeps them'),
    forgotten: field(list(word, MANY), 'IDs of the forgotten ones'),
    inUse: field(
      list(word, MANY),
      'IDs of those that no rule keeps, but a session, a hold, a lock or protection does',
    ),
    future: field(list(word, MANY), 'IDs of those whose date is in the future'),
    oldest: field(
      list(
        object({
          machine: field(word, 'name of the machine'),
          point: field(word, 'ID of the recovery point'),
          created: time('when it was created'),
        }),
        MANY,
      ),
      'for each machine the oldest backup that stays',
    ),
    points: field(list(judgedPoint, MANY), 'all of them, with what keeps each; oldest first'),
    damaged,
  }),
  cli: {
    args: ['set'],
    options: { retention: { spread: 'keep-' } },
    examples: [
      'backup retain nightly --dry-run',
      'backup retain nightly --keep-daily 7 --keep-weekly 4 --dry-run',
      'backup retain nightly --keep-within 14d --keep-monthly 12 --keep-time-zone Europe/Berlin',
    ],
  },
});

export const operations = [retain] as const;
