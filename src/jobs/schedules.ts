import type { JobKind, JobRecord, ScheduleRecord } from '../formats/store/service/job.ts';
import type { JsonObject } from '../lib/schema.ts';
import { turns } from '../lib/mutex.ts';
import { SystemError } from '../sys/base/system-error.ts';
import type { World } from '../sys/world.ts';
import { type Calendar, CalendarError, parseCalendar } from './calendar.ts';
import { JobError } from './job-error.ts';
import { checkScheduleName, type JobFiles } from './job-files.ts';
import { hasEnded } from './job-state.ts';
import { ticker } from '../sys/base/ticker.ts';
import { compactTime } from './job-book.ts';
import type { JobQueue } from './queue.ts';

/*
 * Makes jobs at their times. Times missed while no service ran are made up for once; a schedule whose last job has
 * not ended does not make another.
 */
export interface Schedules extends AsyncDisposable {
  /** Sorted by name. */
  list(): ScheduleView[];
  /** Schedules in the store that make no jobs, because this box did not order them. */
  foreign(): readonly ScheduleRecord[];
  /** Obeys these from now on: the box knows them. */
  adopt(records: readonly ScheduleRecord[]): Promise<void>;
  /** Rejects EXISTS, BAD_TIME. */
  create(draft: ScheduleDraft): Promise<ScheduleView>;
  /** Makes a job of it now; its times stay. Rejects NOT_FOUND; IMPOSSIBLE while its last job has not ended. */
  run(name: string): Promise<JobRecord>;
  /** It makes no jobs until it is resumed. Without effect if it is paused. Rejects NOT_FOUND, IMPOSSIBLE. */
  pause(name: string): Promise<ScheduleView>;
  /** It makes jobs again, but not for times before now. Without effect if it is not paused. Rejects as `pause` does. */
  resume(name: string): Promise<ScheduleView>;
  /** It makes its jobs at other times from now on. Rejects NOT_FOUND, IMPOSSIBLE, BAD_TIME. */
  change(name: string, at: string): Promise<ScheduleView>;
  /** Removes a schedule; its jobs continue. Rejects NOT_FOUND. */
  remove(name: string): Promise<void>;
  /** The `count`-th due time after a time; undefined: there is none. */
  nth(name: string, after: Date, count: number): Date | undefined;
  start(): void;
}

export interface ScheduleDraft {
  readonly name: string;
  /** See calendar.ts. */
  readonly at: string;
  readonly kind: JobKind;
  readonly request: JsonObject;
}

export interface ScheduleView {
  readonly schedule: ScheduleRecord;
  /** ISO 8601; undefined: never again. */
  readonly next: string | undefined;
}

export interface SchedulesOptions {
  readonly world: World;
  readonly files: JobFiles;
  readonly queue: Pick<JobQueue, 'submit' | 'list' | 'keepNewestOf'>;
  readonly onTrouble: (message: string) => void;
  /** Called when a due time was skipped. */
  readonly onMissed: (message: string) => void;
}

const SCHEDULES_MAX = 1000;
/** The clock may be set in the meantime. */
const SLEEP_MAX_MS = 30_000;

export async function openSchedules(options: SchedulesOptions): Promise<Schedules> {
  const { world, files, queue, onTrouble, onMissed } = options;
  const { clock } = world;
  const { schedules, calendars, foreign, take } = await load(files, onTrouble);
  queue.keepNewestOf((name) => schedules.has(name));
  /** Memory and disk change together: a removed schedule must not be written again. */
  const turn = turns();

  function nextOf({ name, last, paused }: ScheduleRecord): Date | undefined {
    if (paused !== undefined) return undefined;
    return calendars.get(name)?.next(new Date(Math.min(Date.parse(last), clock.now().getTime())));
  }
  function notAhead(schedule: ScheduleRecord): ScheduleRecord {
    const held = heldBack(schedule, clock.now());
    if (held !== schedule) schedules.set(held.name, held);
    return held;
  }
  function view(schedule: ScheduleRecord): ScheduleView {
    return { schedule, next: nextOf(schedule)?.toISOString() };
  }
  /** Runs in its turn. */
  async function fire(schedule: ScheduleRecord, due: Date): Promise<void> {
    const { name, kind, request } = schedule;
    if (schedules.get(name) !== schedule) return;
    const id = `${name}-${compactTime(due.toISOString())}`;
    if (activeJobOf(queue, name))
      onMissed(`schedule ${name}: its last job has not ended, so this one is skipped`);
    else await queue.submit({ id, kind, request, schedule: name });
    // This job makes up for all times due until now.
    const next = { ...schedule, last: clock.now().toISOString() };
    schedules.set(name, next);
    await files.putSchedule(next);
  }
  /** Makes the jobs that are due, and returns when to look again. */
  async function look(): Promise<number> {
    let soonest = SLEEP_MAX_MS;
    for (const noted of schedules.values()) {
      const schedule = notAhead(noted);
      const due = nextOf(schedule);
      const ahead = due === undefined ? SLEEP_MAX_MS : due.getTime() - clock.now().getTime();
      if (due === undefined || ahead > 0) {
        soonest = Math.min(soonest, ahead);
        continue;
      }
      try {
        await turn(() => fire(schedule, due));
        // It has a next time now.
        soonest = 0;
      } catch (cause) {
        if (!(cause instanceof SystemError) && !(cause instanceof JobError)) throw cause;
        onTrouble(`schedule ${schedule.name}: ${cause.message}`);
      }
    }
    return soonest;
  }
  const ticks = ticker(clock, look);
  return {
    list: () => [...schedules.values()].sort((a, b) => (a.name < b.name ? -1 : 1)).map(view),
    foreign: () => [...foreign.values()],
    adopt: (records) =>
      turn(async () => {
        for (const record of records) if (foreign.delete(record.name)) take(record);
        ticks.wake();
      }),
    run: (name) =>
      turn(async () => {
        const schedule = knownOf({ schedules, foreign }, name);
        const active = activeJobOf(queue, name);
        if (active) throw notEnded(name, active);
        const { kind, request } = schedule;
        return queue.submit({ kind, request, schedule: name });
      }),
    remove: (name) =>
      turn(async () => {
        if (!schedules.has(name) && !foreign.has(name)) throw noSchedule(name);
        await files.removeSchedule(name);
        foreign.delete(name);
        schedules.delete(name);
        calendars.delete(name);
      }),
    ...scheduleEdits({
      ...{ clock, files, schedules, calendars, foreign, turn, view },
      wake: () => ticks.wake(),
    }),
    nth: (name, after, count) => nthOf(calendars.get(name), after, count),
    start: () => ticks.start(),
    [Symbol.asyncDispose]: () => ticks[Symbol.asyncDispose](),
  };
}

/** What schedules change when people ask for it. */
interface Editable {
  readonly clock: World['clock'];
  readonly files: JobFiles;
  readonly schedules: Map<string, ScheduleRecord>;
  readonly calendars: Map<string, Calendar>;
  readonly foreign: Map<string, ScheduleRecord>;
  readonly turn: ReturnType<typeof turns>;
  view(schedule: ScheduleRecord): ScheduleView;
  wake(): void;
}

function scheduleEdits(state: Editable): Pick<Schedules, 'create' | 'pause' | 'resume' | 'change'> {
  const { clock, files, schedules, calendars, foreign, turn, view, wake } = state;

  /** Runs in its turn. Its jobs are those of times from now on. */
  async function changed(schedule: ScheduleRecord, calendar?: Calendar): Promise<ScheduleView> {
    const { paused } = schedule;
    const now = clock.now().toISOString();
    const next = paused === undefined ? { ...schedule, last: now, changed: now } : schedule;
    await files.putSchedule(next);
    schedules.set(next.name, next);
    if (calendar) calendars.set(next.name, calendar);
    wake();
    return view(next);
  }
  return {
    create: ({ name, at, kind, request }) =>
      turn(async () => {
        checkScheduleName(name);
        checkRoom(schedules, name);
        const calendar = occurring(at, clock.now());
        const created = clock.now().toISOString();
        const schedule = {
          ...{ name, at, kind, request, created, last: created },
          ...{ paused: undefined, changed: undefined },
        };
        try {
          await files.putSchedule(schedule);
        } catch (cause) {
          // The file may exist without a durable name: a refused schedule must not appear at the next start.
          await files.removeSchedule(name).catch(() => {});
          throw cause;
        }
        foreign.delete(name);
        schedules.set(name, schedule);
        calendars.set(name, calendar);
        wake();
        return view(schedule);
      }),
    pause: (name) =>
      turn(async () => {
        const schedule = knownOf(state, name);
        if (schedule.paused !== undefined) return view(schedule);
        return changed({ ...schedule, paused: clock.now().toISOString() });
      }),
    resume: (name) =>
      turn(async () => {
        const schedule = knownOf(state, name);
        if (schedule.paused === undefined) return view(schedule);
        return changed({ ...schedule, paused: undefined });
      }),
    change: (name, at) =>
      turn(async () => {
        const schedule = knownOf(state, name);
        return changed({ ...schedule, at }, occurring(at, clock.now()));
      }),
  };
}

function knownOf(
  { schedules, foreign }: Pick<Editable, 'schedules' | 'foreign'>,
  name: string,
): ScheduleRecord {
  const schedule = schedules.get(name);
  if (schedule) return schedule;
  throw foreign.has(name) ? notAdopted(name) : noSchedule(name);
}

/**
 * A clock that was ahead has noted a time that has not come: without this its schedules keep silent until then, and
 * their jobs seem to be older than they are.
 */
function heldBack(schedule: ScheduleRecord, now: Date): ScheduleRecord {
  const notAfter = (time: string): string =>
    Date.parse(time) <= now.getTime() ? time : now.toISOString();
  const [created, last] = [notAfter(schedule.created), notAfter(schedule.last)];
  const changed = schedule.changed === undefined ? undefined : notAfter(schedule.changed);
  const isSame = created === schedule.created && last === schedule.last;
  if (isSame && changed === schedule.changed) return schedule;
  return { ...schedule, created, last, changed };
}

function activeJobOf(queue: Pick<JobQueue, 'list'>, name: string): JobRecord | undefined {
  return queue.list().find(({ job }) => job.schedule === name && !hasEnded(job))?.job;
}

function notEnded(name: string, { id, state }: JobRecord): JobError {
  const advice = `wait for its end ("job attend ${id}"), or cancel it`;
  return new JobError('IMPOSSIBLE', `job ${id} of schedule "${name}" is ${state}: ${advice}`);
}

function noSchedule(name: string): JobError {
  return new JobError('NOT_FOUND', `there is no schedule "${name}": see "schedule list"`);
}

function notAdopted(name: string): JobError {
  const advice = 'another machine gave it: see "store adopt"';
  return new JobError(
    'IMPOSSIBLE',
    `schedule "${name}" is not adopted, so it does nothing: ${advice}`,
  );
}

function checkRoom(schedules: ReadonlyMap<string, unknown>, name: string): void {
  if (schedules.has(name)) throw new JobError('EXISTS', `there is a schedule "${name}" already`);
  if (schedules.size >= SCHEDULES_MAX) throw new JobError('FULL', 'there are 1000 schedules');
}

/** Loads the schedules; unreadable ones are reported and left out. */
async function load(files: JobFiles, onTrouble: SchedulesOptions['onTrouble']) {
  const schedules = new Map<string, ScheduleRecord>();
  const calendars = new Map<string, Calendar>();
  const { records, damaged, foreign } = await files.schedules();
  for (const reason of damaged) onTrouble(reason);
  const take = (record: ScheduleRecord): void => {
    try {
      calendars.set(record.name, calendarOf(record.at));
      schedules.set(record.name, record);
    } catch (cause) {
      if (!(cause instanceof JobError)) throw cause;
      onTrouble(`schedule ${record.name}: ${cause.message}`);
    }
  };
  records.forEach(take);
  return { schedules, calendars, take, foreign: new Map(foreign.map((it) => [it.name, it])) };
}

function nthOf(calendar: Calendar | undefined, after: Date, count: number): Date | undefined {
  let time: Date | undefined = after;
  for (let n = 0; n < count && time; n++) time = calendar?.next(time);
  return time;
}

/** Throws BAD_TIME also if it never occurs again. */
function occurring(at: string, now: Date): Calendar {
  const calendar = calendarOf(at);
  if (calendar.next(now)) return calendar;
  throw new JobError('BAD_TIME', `"${at}" never occurs`);
}

function calendarOf(at: string): Calendar {
  try {
    return parseCalendar(at);
  } catch (cause) {
    if (!(cause instanceof CalendarError)) throw cause;
    throw new JobError('BAD_TIME', cause.message, { cause });
  }
}
