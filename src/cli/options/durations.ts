import { UsageError } from '../base/command-errors.ts';

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** `90s`, `30m`, `4h`, `2d`. */
export function secondsOf(text: string): number {
  const [, count, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  if (count !== undefined && Number(count) > 0) return Number(count) * UNITS[unit!]!;
  throw new UsageError(`"${text}" is not a time such as 90s, 30m, 4h, 2d`);
}
