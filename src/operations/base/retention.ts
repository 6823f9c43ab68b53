import {
  field,
  flag,
  integer,
  list,
  nullable,
  type Of,
  object,
  oneOf,
  optional,
  text,
  withDefault,
} from '../../lib/schema.ts';
import { prose, time, word } from './fields.ts';

/* The rules by which backups stay, as they are asked, and what they say of each recovery point. */

const COUNT_MAX = 10_000;
const kept = (label: string, what: string) =>
  field(withDefault(integer(0, COUNT_MAX), 0), what, { placeholder: 'N', label });
/** Shown for each rule once. */
const newest = (label: string, unit: string) =>
  kept(label, `keep the newest backup of this many ${unit}`);
/** Longer than every name of a time zone. */
const ZONE_MAX = 64;
const SPAN_MAX = 32;

export const retention = object({
  last: kept('Keep last', 'keep this many of the newest backups'),
  // Absent in the requests of jobs that do not use it: earlier releases refuse a field that they do not know.
  hourly: field(
    optional(integer(0, COUNT_MAX)),
    'keep the newest backup of this many hours (an hour that the clock repeats in autumn counts once)',
    { placeholder: 'N', label: 'Keep hourly' },
  ),
  daily: newest('Keep daily', 'days'),
  weekly: newest('Keep weekly', 'weeks'),
  monthly: newest('Keep monthly', 'months'),
  yearly: newest('Keep yearly', 'years'),
  within: field(
    optional(text({ max: SPAN_MAX })),
    'keep all backups that are at most this much older than the newest: 36h, 14d, 8w, 6mo, 1y or 1y6mo',
    { placeholder: 'TIME', label: 'Keep within' },
  ),
  timeZone: field(
    optional(text({ max: ZONE_MAX })),
    'time zone in which hours, days, weeks, months and years are counted, such as Europe/Berlin (default: UTC)',
    { placeholder: 'ZONE', label: 'Time zone' },
  ),
});

/** Rules, and whatever else a person or a session may hold it by. */
const MANY_REASONS = 10_000;
const counted = (what: string) => field(integer(0, COUNT_MAX), what);
export const usedRules = object({
  last: counted('of the newest'),
  hourly: counted('hours'),
  daily: counted('days'),
  weekly: counted('weeks'),
  monthly: counted('months'),
  yearly: counted('years'),
  within: field(optional(word), 'all that are at most this much older than the newest'),
  timeZone: field(word, 'time zone in which hours, days, weeks, months and years are counted'),
});
export type UsedRules = Of<typeof usedRules>;

/** What a set says of its retention. */
export const setRules = {
  retention: field(
    nullable(usedRules),
    'rules by which its backups stay, carried out after each; null: none, so that all stay',
  ),
  retentionProblem: field(nullable(prose), 'why the rules are not carried out; null: they are'),
};
const shownRules = object(setRules);
export type SetRules = Of<typeof shownRules>;

export const judgedPoint = object({
  point: field(word, 'ID of the recovery point'),
  machine: field(word, 'name of the machine'),
  created: time('when it was created'),
  stays: field(flag(), 'whether it stays'),
  keptBy: field(
    list(
      object({
        by: field(
          oneOf(
            ...(['last', 'hourly', 'daily', 'weekly', 'monthly', 'yearly', 'within'] as const),
            ...(['newest', 'future', 'session'] as const),
            ...(['used', 'held', 'protected', 'locked', 'unreadable'] as const),
          ),
          'a rule; newest: the newest of its machine always stays; future: its date has not come; session: a person ' +
            'kept it from a session; used: a session runs from it; held, protected, locked: a person forbade its ' +
            'removal; unreadable: it is not known what keeps it',
        ),
        what: field(prose, 'the period, as 2026-11-20 or 2026-W47; or what keeps it, in words'),
      }),
      MANY_REASONS,
    ),
    'what keeps it; none: no rule does',
  ),
});
export type JudgedPoint = Of<typeof judgedPoint>;
