import type { Mutant } from './mutant.ts';

const CLOCK = 'test/catalog/removal/hostile-clock.test.ts';
const MARKS = 'test/catalog/removal/marks.test.ts';
const TRUSTED = 'test/alarms/trusted-time.test.ts';

export const keptPoints: readonly Mutant[] = [
  {
    name: 'trusted time: it jumps with the wall clock',
    file: 'src/alarms/trusted-time.ts',
    text: 'Math.floor(Math.min(passedMs, Math.max(byWallMs, passedMs * (1 - SLOWER_MAX))))',
    to: 'Math.floor(Math.max(byWallMs, passedMs * (1 - SLOWER_MAX)))',
    tests: [TRUSTED, CLOCK],
  },
  {
    name: 'trusted time: absences are not summed',
    file: 'src/alarms/trusted-time.ts',
    text: 'ABSENT_MAX_MS - usedMs',
    to: 'ABSENT_MAX_MS',
    tests: [TRUSTED, CLOCK],
  },
  {
    name: 'trusted time: an absence counts in full',
    file: 'src/alarms/trusted-time.ts',
    text: 'Math.min(claimedMs, ABSENT_MAX_MS - usedMs)',
    to: 'claimedMs',
    tests: [TRUSTED, CLOCK],
  },
  {
    name: 'trusted time: absences of long ago count for ever',
    file: 'src/alarms/trusted-time.ts',
    text: 'endMs > startedMs - ABSENT_WITHIN_MS',
    to: 'endMs > 0',
    tests: [TRUSTED, CLOCK],
  },
  {
    name: 'trusted time: one person confirms the clock alone',
    file: 'src/alarms/trusted-time.ts',
    text: 'return it.uid !== uid && now',
    to: 'return now',
    tests: [TRUSTED],
  },
  {
    name: 'trusted time: a confirmation never ends',
    file: 'src/alarms/trusted-time.ts',
    text: 'now.sinceBootMs - it.sinceBootMs <= AGREE_WITHIN_MS',
    to: 'true',
    tests: [TRUSTED],
  },
  {
    name: 'trusted time: the clock may be set between two confirmations',
    file: 'src/alarms/trusted-time.ts',
    text: 'Math.abs(bootedMs(now) - bootedMs(other)) < SET_MIN_MS',
    to: 'true',
    tests: [TRUSTED, CLOCK],
  },
  {
    name: 'trusted time: after damage one confirmation makes it known',
    file: 'src/alarms/trusted-time.ts',
    text: 'isUnknown ? undefined : trustedMs',
    to: 'trustedMs',
    tests: [TRUSTED],
  },
  {
    name: 'locks: a confirmation of the clock ends them early',
    file: 'src/alarms/trusted-time.ts',
    text: 'Math.max(trustedMs + uncountedMs, ',
    to: 'Math.max(trustedMs, ',
    tests: [CLOCK],
  },
  {
    name: 'locks: they end at once',
    file: 'src/catalog/removal/obstacles.ts',
    text: 'until !== undefined && !hasPassed(until, trustedMs)',
    to: 'false',
    tests: [MARKS],
  },
  {
    name: 'locks: where the trusted time is not known they have ended',
    file: 'src/catalog/removal/obstacles.ts',
    text: 'trustedMs !== undefined && Date.parse(until) <= trustedMs',
    to: 'trustedMs === undefined || Date.parse(until) <= trustedMs',
    tests: [MARKS],
  },
  {
    name: 'locks: what was added to that of a point does not count',
    file: 'src/catalog/removal/obstacles.ts',
    text: 'laterOf(lockedUntil, marks?.lockedUntil)',
    to: 'lockedUntil',
    tests: [MARKS],
  },
  {
    name: 'locks: that of the point itself does not count',
    file: 'src/catalog/removal/forget-point.ts',
    text: 'lockedUntil: points[0]?.lockedUntil',
    to: 'lockedUntil: undefined',
    tests: [MARKS],
  },
  {
    name: 'locks: a damaged record opens that of the point',
    file: 'src/catalog/removal/forget-point.ts',
    text: 'isLockUnknown: await mayHaveLocked(store, set)',
    to: 'isLockUnknown: false',
    tests: [MARKS],
  },
  {
    name: 'locks: those of new points begin by the wall clock',
    file: 'src/catalog/removal/set-lock.ts',
    text: '(await set.lockBegin?.()) ?? store.clock.now().getTime()',
    to: 'store.clock.now().getTime()',
    tests: [MARKS, CLOCK],
  },
  {
    name: 'marks: damaged ones keep no point',
    file: 'src/catalog/removal/obstacles.ts',
    text: "return [{ kind: 'unreadable', reason: cause.message }];",
    to: 'return [];',
    tests: [MARKS],
  },
  {
    name: 'marks: of two copies the older counts',
    file: 'src/catalog/removal/two-copies.ts',
    text: 'b.record.counter - a.record.counter',
    to: 'a.record.counter - b.record.counter',
    tests: [MARKS],
  },
  {
    name: 'marks: those of another point count',
    file: 'src/catalog/removal/marks.ts',
    text: 'if (record.set === place.set && record.point === place.id) return record;',
    to: 'if (record.set === place.set) return record;',
    tests: [MARKS],
  },
];
