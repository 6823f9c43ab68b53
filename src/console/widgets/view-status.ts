import { formatSize } from '../../lib/sizes.ts';
import type { StoreUsage, ThroughputRates } from '../../operations/results.ts';
import { alarmsOf } from '../state/alarms.ts';
import { stateText, workText } from './job-words.ts';
import { bodyRows, HOUR_PARTS, type Model } from '../state/model.ts';
import { columns, fitted, type Line, line, sparkline, wrapped } from '../terminal/screen.ts';
import { until, utc } from '../terminal/words.ts';
import type { Known } from '../state/known.ts';

const BAR_WIDTH = 20;
const ALARMS_MAX = 4;
/** Of each section, before what is left goes to the last one. */
const SECTION_ROWS = 3;

export function statusBody(model: Model): readonly Line[] {
  const { facts, host } = model;
  if (facts.kind !== 'known') return [notKnown(facts)];
  const { started, pid, store, storeId, space } = facts.value;
  const top = [
    field('Host', [host.name, ...host.addresses].join('  ')),
    field('Service', `process ${pid}, since ${utc(started)} UTC`),
    field('Store', storeId === null ? `${store}: none yet, see "holdfast store create"` : store),
    ...(space ? [field('Space', spaceText(space)), ...usageLines(model)] : []),
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

function field(name: string, text: string): Line {
  return line(` ${fitted(name, 10)} ${text}`);
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
  if (usage.kind === 'unknown') return [field('Forecast', '...'), field('Saving', '...')];
  return [
    field('Forecast', forecastText(usage.value, time)),
    field('Saving', savingText(usage.value)),
  ];
}

function forecastText({ growth }: StoreUsage, now: string): string {
  const { since, bytesPerDay, fullAt } = growth;
  if (bytesPerDay === null) {
    const watched = since === null ? '' : `; watched since ${utc(since)} UTC`;
    return `not known yet (a day is needed${watched})`;
  }
  const rate = `${formatSize(Math.abs(bytesPerDay))} a day`;
  if (fullAt !== null) return `full in ${until(now, fullAt)}, at ${rate} as in the last days`;
  return bytesPerDay > 0 ? `not full for years, at ${rate}` : `does not fill: ${rate} less`;
}

function savingText({ saving: { points, readBytes, storedBytes } }: StoreUsage): string {
  if (storedBytes === 0) return 'not known yet: nothing was stored';
  const ratio = (readBytes / storedBytes).toFixed(1);
  const sizes = `${formatSize(readBytes)} read, ${formatSize(storedBytes)} stored`;
  return `${ratio} : 1 (${sizes}; newest ${points} points)`;
}

const GRAPHS = [
  ['Reads', 'readBytes'],
  ['Writes', 'writtenBytes'],
  ['Backups', 'ingestBytes'],
] as const satisfies readonly (readonly [string, keyof ThroughputRates])[];

/** The last hour, and how much it is now. */
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

function noAlarms(acknowledged: number): Line {
  if (acknowledged === 0) return line(' No alarms.', 'good');
  return line(` No new alarms; ${acknowledged} acknowledged, see the screen Alarms.`, 'warning');
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

export function notKnown(it: Known<unknown>): Line {
  return it.kind === 'refused' ? line(` ${it.message}`, 'bad') : line(' asking ...');
}
