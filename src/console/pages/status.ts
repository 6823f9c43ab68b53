import type { ThroughputRates } from '../../operations/nouns/service.ts';
import type { StoreUsage } from '../../operations/nouns/store.ts';
import { formatSize } from '../../lib/sizes.ts';
import { bodyRows, type Model } from '../state/model.ts';
import { COSTLY_MS, whole } from '../state/queries.ts';
import { columns, fitted, type Line, line, sparkline, wrapped } from '../terminal/screen.ts';
import { until, utc } from '../terminal/times.ts';
import { fact, notKnown } from '../widgets/list-body.ts';
import type { Page } from '../widgets/page.ts';
import { ALARMS } from './alarms.ts';
import { ACTIVE_JOBS, stateText, workText } from './jobs.ts';
import { SESSIONS } from './sessions.ts';

/* The state of everything at a glance. */

/** Queried on every screen: the answers show that the service is there. */
export const FACTS = whole('facts', 'service/show', {
  also: ({ host }) => ({ host }),
});

const LATEST_MAX = 4;

/** The newest recovery points. */
const LATEST = whole('latest', 'backup/page', {
  request: {
    set: undefined,
    machine: undefined,
    contains: undefined,
    first: 0,
    count: LATEST_MAX,
  },
  everyMs: COSTLY_MS,
});

const USAGE = whole('usage', 'store/usage', { everyMs: 30_000 });

/** The number of parts of the last hour: as many as fit beside its figures on 80 columns, a character for each. */
const HOUR_PARTS = 36;

const THROUGHPUT = whole('throughput', 'service/throughput', {
  request: { points: HOUR_PARTS },
  everyMs: 5000,
});

export const statusPage: Page = {
  title: 'Status',
  keys: [],
  queries: [LATEST, SESSIONS, ACTIVE_JOBS, USAGE, ALARMS, THROUGHPUT],
  list: { kind: 'none' },
  body: statusBody,
};

const BAR_WIDTH = 20;
const ALARMS_MAX = 4;
/** Lines of each section. The last section gets the rest of the screen. */
const SECTION_ROWS = 3;

function statusBody(model: Model): readonly Line[] {
  const { facts, host } = model;
  if (facts.kind !== 'known') return [notKnown(facts)];
  const { started, pid, store, storeId, space } = facts.value;
  const top = [
    fact('Host', [host.name, ...host.addresses].join('  ')),
    fact('Service', `process ${pid}, since ${utc(started)} UTC`),
    fact('Store', storeId === null ? `${store}: none yet, see "holdfast store create"` : store),
    ...(space ? [fact('Space', spaceText(space)), ...usageLines(model)] : []),
    ...throughputLines(model),
    ...alarmLines(model),
  ];
  const sections = [...jobLines(model), ...sessionLines(model)];
  return [
    ...top,
    ...sections,
    ...latestLines(model, bodyRows(model) - top.length - sections.length),
  ];
}

function spaceText({ freeBytes, totalBytes }: { freeBytes: number; totalBytes: number }): string {
  const used = totalBytes > 0 ? 1 - freeBytes / totalBytes : 1;
  const filled = Math.round(used * BAR_WIDTH);
  const bar = `[${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}]`;
  const percent = Math.floor(100 * used);
  return `${bar} ${percent} % full, ${formatSize(freeBytes)} free of ${formatSize(totalBytes)}`;
}

function usageLines({ usage, time }: Model): Line[] {
  if (usage.kind === 'refused') return [notKnown(usage)];
  if (usage.kind === 'unknown') return [fact('Forecast', '...'), fact('Saving', '...')];
  return [
    fact('Forecast', forecastText(usage.value, time)),
    fact('Saving', savingText(usage.value)),
  ];
}

function forecastText({ growth }: StoreUsage, now: string): string {
  const { since, bytesPerDay, fullAt } = growth;
  if (bytesPerDay === null) {
    const watched = since === null ? '' : `; watched since ${utc(since)} UTC`;
    return `not known yet (it takes a day${watched})`;
  }
  const rate = `${formatSize(Math.abs(bytesPerDay))} a day`;
  if (fullAt !== null) return `full in ${until(now, fullAt)}, at ${rate} as in recent days`;
  return bytesPerDay > 0 ? `not full for years, at ${rate}` : `not filling up: ${rate} less`;
}

function savingText({ saving: { points, readBytes, storedBytes } }: StoreUsage): string {
  if (storedBytes === 0) return 'not known yet: nothing has been stored';
  const ratio = (readBytes / storedBytes).toFixed(1);
  const sizes = `${formatSize(readBytes)} read, ${formatSize(storedBytes)} stored`;
  return `${ratio} : 1 (${sizes}; newest ${points} points)`;
}

const GRAPHS = [
  ['Reads', 'readBytes'],
  ['Writes', 'writtenBytes'],
  ['Backups', 'ingestBytes'],
] as const satisfies readonly (readonly [string, keyof ThroughputRates])[];

/** The traffic of the last hour, with the present and the largest. */
function throughputLines({ throughput }: Model): Line[] {
  if (throughput.kind !== 'known')
    return throughput.kind === 'refused' ? [notKnown(throughput)] : [];
  const { now, points } = throughput.value;
  return GRAPHS.map(([name, of]) => {
    const graph = sparkline(
      points.map((it) => it[of]),
      HOUR_PARTS,
    );
    const most = Math.max(0, ...points.slice(-HOUR_PARTS).map((it) => it[of]));
    const words = `${formatSize(now[of])}/s, most ${formatSize(most)}/s`;
    return [...line(` ${fitted(name, 8)} [`), graph, ...line(`] ${words}`)];
  });
}

function alarmLines(model: Model): Line[] {
  const found = alarmsOf(model);
  const { sessions, latest, standing } = model;
  const unknown =
    standing.kind === 'refused' ? [`The alarms are not known: ${standing.message}`] : [];
  if (found.length + unknown.length === 0) {
    const isAllKnown =
      sessions.kind === 'known' && latest.kind === 'known' && standing.kind === 'known';
    return isAllKnown ? [noAlarms(standing.value.length)] : [];
  }
  const lines = [...found, ...unknown].flatMap((it) => wrapped(it, model.size.columns - 4));
  const more = lines.length > ALARMS_MAX ? [line(' ! ... and more', 'bad')] : [];
  const shown = lines.slice(0, ALARMS_MAX).map((it) => line(` ! ${it}`, 'bad'));
  return [...shown, ...more];
}

/** Below this free share of the store's file system a warning is shown. */
const LOW_PART = 0.1;

/** Problems that need a person; facts that are not known are not mentioned. */
function alarmsOf({ facts, sessions, damagedSessions, latest, standing }: Model): string[] {
  const open = standing.kind === 'known' ? standing.value : [];
  const found = open
    .filter(({ acknowledged }) => acknowledged === null)
    .map(({ level, message }) => (level === 'critical' ? `CRITICAL: ${message}` : message));
  // A service that monitors itself has raised alarms of its own.
  const isWatched = standing.kind === 'known';
  if (facts.kind === 'known') {
    const { storeId, space } = facts.value;
    if (storeId === null) found.push('There is no store: nothing can be backed up or recovered.');
    if (!isWatched && space && space.freeBytes < LOW_PART * space.totalBytes) {
      found.push(`The store's disk is almost full: ${formatSize(space.freeBytes)} free.`);
    }
  }
  if (!isWatched && sessions.kind === 'known') {
    for (const { session, waits } of sessions.value) {
      if (waits !== null) found.push(`Session ${session} cannot continue: ${waits}`);
    }
  }
  for (const { reason } of damagedSessions) found.push(`Damaged: ${reason}`);
  if (latest.kind === 'known') {
    for (const { reason } of latest.value.damaged) found.push(`Damaged: ${reason}`);
  }
  return found;
}

function noAlarms(acknowledged: number): Line {
  if (acknowledged === 0) return line(' No alarms.', 'good');
  return line(` No new alarms; ${acknowledged} acknowledged, see the page Alarms.`, 'warning');
}

function jobLines({ facts, active }: Model): Line[] {
  if (facts.kind !== 'known') return [];
  const { running, waiting } = facts.value.jobs;
  const title = line(` Jobs: ${running} running, ${waiting} waiting`, 'strong');
  const jobs = active.kind === 'known' ? active.value : [];
  const byState = jobs.toSorted(
    (a, b) => Number(a.state !== 'running') - Number(b.state !== 'running'),
  );
  const shown = byState.slice(0, SECTION_ROWS - 1).map((it) => {
    const cells = [workText(it), it.state, stateText(it)];
    return line(` ${columns(cells, [32, 8])}`);
  });
  return [title, ...shown];
}

function sessionLines({ sessions }: Model): Line[] {
  if (sessions.kind !== 'known') return [line(' Sessions', 'strong'), notKnown(sessions)];
  const { value } = sessions;
  const running = value.filter(({ state }) => state === 'running').length;
  const title = line(` Sessions: ${running} running, ${value.length - running} not`, 'strong');
  const shown = value.slice(0, SECTION_ROWS - 1).map(({ session, state, takenBytes, listen }) => {
    const cells = [session, state, `${formatSize(takenBytes)} written`, listen];
    return line(` ${columns(cells, [28, 9, 18])}`);
  });
  const more = value.length - shown.length;
  return [title, ...shown, ...(more > 0 ? [line(` ... and ${more} more`)] : [])];
}

function latestLines({ latest }: Model, rows: number): Line[] {
  if (latest.kind !== 'known') return [line(' Last recovery points', 'strong'), notKnown(latest)];
  const { points, total } = latest.value;
  const title = line(` Last recovery points (${total} in all)`, 'strong');
  const shown = points.map(({ created, machine, set, origin }) =>
    line(` ${columns([utc(created), machine, set, `from a ${origin}`], [16, 24, 16])}`),
  );
  return [title, ...shown].slice(0, Math.max(1, rows));
}
