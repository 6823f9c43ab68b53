import { deepEqual, equal, ok } from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'tap';
import { judge, type Retention } from '../../src/catalog/retention/rules.ts';
import { zonedClock } from '../../src/lib/zoned-time.ts';
import { calendarsIn } from '../support/calendars.ts';
import { PASSWORD, writeResticRepository } from '../support/restic-repository.ts';
import { without } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary.ts';

/* What restic keeps of the same times, by the same rules, in the same time zone. */

const NONE = { last: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };
const RULES: readonly Partial<Retention>[] = [
  { last: 3, daily: 7, weekly: 4, monthly: 12, yearly: 3 },
  { last: 3, daily: 13, weekly: 8, monthly: 11, yearly: 9 },
  { hourly: 24, daily: 7 },
  { hourly: 500, weekly: 60 },
  { within: '14d', weekly: 5 },
  { within: '36h', yearly: 10 },
  { within: '1y6mo2d5h' },
  { within: '1mo', daily: 2 },
];
const NOW = new Date('2025-06-01T00:00:00Z');

for (const zone of ['Europe/Berlin', 'America/New_York', 'UTC']) {
  test(`restic keeps the same points, for the same reasons: ${zone}`, {
    skip: without('restic'),
  }, async () => {
    const home = join(temporaryDirectory(), 'restic');
    const calendars = calendarsIn(zone);
    ok(calendars.size >= 20);
    const all = [...calendars].flatMap(([tag, times]) => times.map((ms) => ({ tag, ms })));
    const ids = writeResticRepository(
      home,
      all.map(({ tag, ms }) => ({ tag, time: withOffset(zone, ms) })),
    );
    for (const rules of RULES) {
      const theirs = resticKeeps(home, zone, rules);
      for (const [tag, times] of calendars) {
        const points = all
          .map((it, at) => ({ ...it, id: ids[at]!, created: new Date(it.ms).toISOString() }))
          .filter((it) => it.tag === tag);
        equal(points.length, times.length);
        const judged = judge(points, { ...NONE, ...rules, timeZone: zone }, NOW);
        const ours = judged.map(({ point: { id, created }, keepers }) => ({
          ...{ id, created },
          by: keepers.map(({ by }) => by).toSorted(),
        }));
        deepEqual(
          ours,
          points.map(({ id, created }) => ({ id, created, by: theirs.get(id) ?? [] })),
          `${tag}: ${JSON.stringify(rules)}`,
        );
      }
    }
  });
}

/** By ID, the names of the rules that keep it. */
function resticKeeps(
  home: string,
  zone: string,
  { within, timeZone: _zone, ...counts }: Partial<Retention>,
): ReadonlyMap<string, readonly string[]> {
  const options = Object.entries(counts).flatMap(([name, count]) => [`--keep-${name}`, `${count}`]);
  // A month is `m` there.
  if (within !== undefined) options.push('--keep-within', within.replace('mo', 'm'));
  const asked = ['forget', '--dry-run', '--json', '--group-by', 'tags', ...options];
  const env = { ...process.env, TZ: zone, RESTIC_PASSWORD: PASSWORD };
  const text = execFileSync('restic', ['-r', home, '--no-cache', '--no-lock', ...asked], {
    ...{ env, encoding: 'utf8', maxBuffer: 64 * 2 ** 20 },
  });
  const groups = JSON.parse(text) as readonly Group[];
  return new Map(
    groups.flatMap(({ keep, reasons }) => {
      const matches = new Map(reasons.map((it) => [it.snapshot.time, it.matches]));
      return keep.map(({ id, time }) => [
        id,
        matches
          .get(time)!
          .map((it) => it.split(' ')[0]!)
          .toSorted(),
      ]);
    }),
  );
}

interface Group {
  readonly keep: readonly { readonly id: string; readonly time: string }[];
  readonly reasons: readonly {
    readonly snapshot: { readonly time: string };
    readonly matches: readonly string[];
  }[];
}

/** Restic reads the clock of its own zone only where the offset is that zone's. */
function withOffset(zone: string, ms: number): string {
  const shown = zonedClock(zone).shown(ms);
  const wall = Date.UTC(
    ...([shown.year, shown.month - 1, shown.day] as const),
    ...([shown.hour, shown.minute, shown.second] as const),
  );
  const minutes = (wall - ms) / 60_000;
  const digits = (number: number): string => String(number).padStart(2, '0');
  const size = Math.abs(minutes);
  const offset = `${minutes < 0 ? '-' : '+'}${digits(Math.floor(size / 60))}:${digits(size % 60)}`;
  return `${new Date(wall).toISOString().slice(0, 19)}${offset}`;
}
