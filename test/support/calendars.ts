import { zonedClock } from '../../src/lib/zoned-time.ts';
import { below, seeded } from './random.ts';

/** Times of backups, by the clock of the zone; all in the past, whenever a test runs. */
export function calendarsIn(zone: string): ReadonlyMap<string, readonly number[]> {
  const { when } = zonedClock(zone);
  const at = (year: number, month: number, day: number, hour = 0, minute = 0, second = 0): number =>
    when({ year, month, day, hour, minute, second });
  const times = (count: number, time: (n: number) => number): number[] =>
    Array.from({ length: count }, (_, n) => time(n));
  const random = seeded(7);
  const somewhere = (count: number, from: number, to: number): number[] =>
    times(count, () => from + below(random, (to - from) / 1000) * 1000);
  const hours = (count: number, start: number, minutes = 60): number[] =>
    times(count, (n) => start + n * minutes * 60_000);

  const found = new Map(
    Object.entries({
      'daily, three years': times(500, (n) => at(2022, 1, 1 + 2 * n, 23, 30)),
      'weekdays, 200 days': times(200, (n) => at(2024, 5, 1 + n, 23, 30)).filter((ms) => {
        const { year, month, day } = zonedClock(zone).shown(ms);
        return new Date(Date.UTC(year, month - 1, day)).getUTCDay() % 6 !== 0;
      }),
      'six a day': times(120, (n) => at(2024, 2, 10, 1 + 4 * n, 17)),
      'a gap of five months': [
        ...times(30, (n) => at(2023, 10, 20 + n, 2)),
        ...times(30, (n) => at(2024, 4, 20 + n, 2)),
      ],
      'the end of 2020, with a week 53': times(30, (n) => at(2020, 12, 15 + n, 5)),
      'the end of 2024, whose last days are in week 1': times(30, (n) => at(2024, 12, 15 + n, 5)),
      'the ends of ten years': times(20, (n) => at(2015 + (n >> 1), 12, 31 + (n & 1), 12)),
      'hourly where clocks go forward, in Europe': hours(60, at(2024, 3, 30, 6)),
      'hourly where clocks go back, in Europe': hours(60, at(2024, 10, 26, 6)),
      'hourly where clocks go forward, in America': hours(60, at(2024, 3, 9, 6)),
      'hourly where clocks go back, in America': hours(60, at(2024, 11, 2, 6)),
      'every 20 minutes where clocks go back': hours(70, at(2024, 10, 26, 22), 20),
      'odd times of a year': somewhere(59, at(2024, 1, 1), at(2025, 1, 1)),
      'odd times of six years': somewhere(120, at(2018, 6, 1), at(2025, 3, 1)),
      'a leap day': times(24, (n) => at(2024, 2, 24, 12 * n, 1)),
      'the last day of each month': times(30, (n) => at(2022, 2 + n, 0, 22)),
      'just before and after midnight of Monday': times(60, (n) =>
        at(2024, 1, 8 + 7 * (n >> 1), 0, 0, (n & 1) - 1),
      ),
      'just before and after the new year': times(12, (n) =>
        at(2018 + (n >> 1), 1, 1, 0, 0, (n & 1) - 1),
      ),
      'around midnight, every 15 minutes': times(10, (n) => at(2024, 6, 1 + n, 22, 30)).flatMap(
        (start) => hours(12, start, 15),
      ),
      'bursts with long silences': times(6, (n) => at(2022, 1 + 4 * n, 3, 9)).flatMap((start) =>
        somewhere(8, start, start + 7_200_000),
      ),
      'a single one': [at(2024, 7, 1, 12)],
    }),
  );
  // Equal times have no order in restic.
  return new Map([...found].map(([name, all]) => [name, [...new Set(all)].sort((a, b) => a - b)]));
}
