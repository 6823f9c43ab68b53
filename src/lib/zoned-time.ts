/** What a clock in a time zone shows. Months count from 1. */
export interface ShownTime {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
}

/** The clock of a time zone, for years after 1. */
export interface ZonedClock {
  shown(ms: number): ShownTime;
  /**
   * When the clock shows this; numbers beyond their range count on, as in Date.UTC. A time that the clock skips or
   * shows twice, where clocks change, is one of the two that it may be.
   */
  when(shown: ShownTime): number;
}

/** Whether it names a time zone: `Europe/Berlin`, `UTC`. */
export function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

/** Throws RangeError unless `isTimeZone`. */
export function zonedClock(timeZone: string): ZonedClock {
  const format = new Intl.DateTimeFormat('en-US', {
    ...({ timeZone, calendar: 'gregory', numberingSystem: 'latn', hourCycle: 'h23' } as const),
    ...({ year: 'numeric', month: 'numeric', day: 'numeric' } as const),
    ...({ hour: 'numeric', minute: 'numeric', second: 'numeric' } as const),
  });
  function shown(ms: number): ShownTime {
    const found: Record<string, number> = {};
    for (const { type, value } of format.formatToParts(ms)) found[type] = Number(value);
    const { year, month, day, hour, minute, second } = found;
    return { year: year!, month: month!, day: day!, hour: hour!, minute: minute!, second: second! };
  }
  /** What the clock is ahead of UTC. */
  function ahead(ms: number): number {
    return asIfUtc(shown(ms)) - Math.floor(ms / 1000) * 1000;
  }
  function when(wanted: ShownTime): number {
    const utc = asIfUtc(wanted);
    const first = ahead(utc);
    // The clock may have changed between `utc` and the time that is meant.
    return utc - (ahead(utc - first) === first ? first : ahead(utc - first));
  }
  return { shown, when };
}

function asIfUtc({ year, month, day, hour, minute, second }: ShownTime): number {
  return Date.UTC(year, month - 1, day, hour, minute, second);
}
