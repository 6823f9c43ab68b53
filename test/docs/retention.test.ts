import { deepEqual, ok } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'tap';
import { judge, type Retention } from '../../src/catalog/retention/rules.ts';

/*
 * The chapter on retention compares with Proxmox Backup Server: the numbers in its table are what both algorithms keep.
 */
const DAY_MS = 86_400_000;
const NOW = new Date('2027-01-01T00:00:00Z');
const UNITS = ['last', 'daily', 'weekly', 'monthly', 'yearly'] as const;
type Rules = Readonly<Record<(typeof UNITS)[number], number>>;

const every = (days: number, from: string, to: string): number[] => {
  const times: number[] = [];
  for (let ms = Date.parse(from); ms <= Date.parse(to); ms += days * DAY_MS) times.push(ms);
  return times;
};
const CALENDARS: Readonly<Record<string, readonly number[]>> = {
  'daily, 3 years': every(1, '2023-11-29T02:00:00Z', '2026-11-28T02:00:00Z'),
  '6 a day, 40 days': every(1 / 6, '2026-10-20T02:00:00Z', '2026-11-28T22:00:00Z'),
};

/** `3/13/8/11/9`: last, daily, weekly, monthly, yearly. */
function rulesOf(text: string): Rules {
  const [last, daily, weekly, monthly, yearly] = text.split('/').map(Number);
  return { last: last!, daily: daily!, weekly: weekly!, monthly: monthly!, yearly: yearly! };
}

/** Proxmox Backup Server 3, pbs-datastore/src/prune.rs: a rule counts only beyond what those before it have kept. */
function proxmoxKeeps(times: readonly number[], rules: Rules): number[] {
  const marks = new Map<number, 'keep' | 'remove'>();
  const newestFirst = times.toReversed();
  for (const unit of UNITS) {
    const count = rules[unit];
    if (count === 0) continue;
    const kept = newestFirst.filter((ms) => marks.get(ms) === 'keep');
    const included = new Set(kept.map((ms) => periodOf(unit, ms)));
    const seen = new Set<string>();
    for (const ms of newestFirst) {
      const period = periodOf(unit, ms);
      if (marks.has(ms) || included.has(period)) continue;
      if (!seen.has(period)) {
        if (seen.size >= count) break;
        seen.add(period);
        marks.set(ms, 'keep');
      } else {
        marks.set(ms, 'remove');
      }
    }
  }
  return times.filter((ms) => marks.get(ms) === 'keep');
}

function periodOf(unit: (typeof UNITS)[number], ms: number): string {
  const text = new Date(ms).toISOString();
  if (unit === 'weekly') return String(Math.floor((ms / DAY_MS + 3) / 7));
  return text.slice(0, { last: 19, daily: 10, monthly: 7, yearly: 4 }[unit]);
}

function holdfastKeeps(times: readonly number[], rules: Retention): number[] {
  const points = times.map((ms) => ({ id: String(ms), created: new Date(ms).toISOString() }));
  const judged = judge(points, rules, NOW);
  return judged.filter(({ keepers }) => keepers.length > 0).map(({ point }) => Number(point.id));
}

const shown = (kept: readonly number[]): string =>
  `${kept.length}, from ${new Date(kept[0]!).toISOString().slice(0, 10)}`;

test('the table of Proxmox beside Holdfast is what both keep', async () => {
  const text = readFileSync('docs/retention.md', 'utf8');
  const rows = text
    .split('\n')
    .filter((line) => /^\| .*\d+\/\d+\/\d+\/\d+\/\d+/.test(line))
    .map((line) => line.split('|').map((it) => it.trim()));
  ok(rows.length >= 4);
  for (const [, calendar, numbers, proxmox, same, wider, covers] of rows) {
    const times = CALENDARS[calendar!]!;
    const rules = rulesOf(numbers!);
    const found = [
      shown(proxmoxKeeps(times, rules)),
      shown(holdfastKeeps(times, rules)),
      shown(holdfastKeeps(times, rulesOf(wider!))),
    ];
    deepEqual([proxmox, same, covers], found, `${calendar} ${numbers}`);
  }
});

/** The rule that the chapter gives. */
function widened({ last, daily, weekly, monthly, yearly }: Rules): Rules {
  const more = (count: number, finer: number, size: number): number =>
    count === 0 ? 0 : count + Math.ceil(finer / size) + 1;
  const days = daily === 0 ? 0 : last + daily;
  const weeks = more(weekly, days, 7);
  const months = more(monthly, weeks, 4);
  return { last, daily: days, weekly: weeks, monthly: months, yearly: more(yearly, months, 12) };
}

test('the wider numbers of the chapter keep as much as Proxmox does, and as far back', async () => {
  const [times] = Object.values(CALENDARS);
  for (const numbers of ['3/13/8/11/9', '0/7/4/12/3', '6/7/4/6/1', '1/3/2/2/2']) {
    for (let end = 200; end < times!.length; end += 31) {
      const until = times!.slice(0, end);
      const ours = holdfastKeeps(until, widened(rulesOf(numbers)));
      const theirs = proxmoxKeeps(until, rulesOf(numbers));
      const where = `${numbers} after ${end} days`;
      ok(ours.length >= theirs.length && ours[0]! <= theirs[0]!, where);
    }
  }
});
