import { formatSize } from '../lib/sizes.ts';
import type { Known, Model } from './model.ts';
import { columns, fitted, type Line, line, wrapped } from './screen.ts';
import { utc } from './words.ts';

/** Below this part of the store's file system, or this size, somebody should do something. */
const LOW_PART = 0.1;
const BAR_WIDTH = 20;
const ALARMS_MAX = 4;
const SESSIONS_MAX = 4;

export function statusBody(model: Model): readonly Line[] {
  const { facts, host } = model;
  if (facts.kind !== 'known') return [];
  const { started, pid, store, storeId, space, jobs } = facts.value;
  return [
    field('Host', host.name),
    field('Addresses', host.addresses.join('  ') || 'none'),
    field('Service', `process ${pid}, since ${utc(started)} UTC`),
    field('Store', storeId === null ? `${store}: none yet, see "holdfast store create"` : store),
    ...(space ? [field('Space', spaceText(space))] : []),
    field('Jobs', `${jobs.running} run, ${jobs.waiting} wait`),
    [],
    ...alarmLines(model),
    ...sessionLines(model),
    [],
    ...latestLines(model),
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

/** What needs somebody; nothing is said of what is not known. */
function alarmsOf({ facts, sessions, damagedSessions, latest, alarms }: Model): string[] {
  const found = alarms.map(({ time, message }) => `${utc(time)} ${message}`);
  if (facts.kind === 'known') {
    const { storeId, space } = facts.value;
    if (storeId === null) found.push('There is no store: nothing can be backed up or recovered.');
    if (space && space.freeBytes < LOW_PART * space.totalBytes) {
      found.push(`The store's disk is almost full: ${formatSize(space.freeBytes)} are left.`);
    }
  }
  if (sessions.kind === 'known') {
    for (const { session, waits } of sessions.value) {
      if (waits !== null) found.push(`Session ${session} cannot go on: ${waits}`);
    }
  }
  for (const { reason } of damagedSessions) found.push(`Damaged: ${reason}`);
  if (latest.kind === 'known') {
    for (const { reason } of latest.value.damaged) found.push(`Damaged: ${reason}`);
  }
  return found;
}

function alarmLines(model: Model): Line[] {
  const found = alarmsOf(model);
  const isAllKnown = model.sessions.kind === 'known' && model.latest.kind === 'known';
  if (found.length === 0) return isAllKnown ? [line(' No alarms.', 'good'), []] : [];
  const lines = found.flatMap((it) => wrapped(it, model.size.columns - 4));
  const more = lines.length > ALARMS_MAX ? [line(' ! ... and more', 'bad')] : [];
  const shown = lines.slice(0, ALARMS_MAX).map((it) => line(` ! ${it}`, 'bad'));
  return [...shown, ...more, []];
}

function sessionLines({ sessions }: Model): Line[] {
  if (sessions.kind !== 'known') return [line(' Sessions', 'strong'), notKnown(sessions)];
  const { value } = sessions;
  const running = value.filter(({ state }) => state === 'running').length;
  const title = line(` Sessions: ${running} running, ${value.length - running} not`, 'strong');
  const shown = value.slice(0, SESSIONS_MAX).map(({ session, state, takenBytes, listen }) => {
    const cells = [session, state, `${formatSize(takenBytes)} written`, listen];
    return line(` ${columns(cells, [28, 9, 18])}`);
  });
  const more = value.length - shown.length;
  return [title, ...shown, ...(more > 0 ? [line(` ... and ${more} more`)] : [])];
}

function latestLines({ latest }: Model): Line[] {
  if (latest.kind !== 'known') return [line(' Last recovery points', 'strong'), notKnown(latest)];
  const { points, total } = latest.value;
  const title = line(` Last recovery points (${total} in all)`, 'strong');
  const shown = points.map(({ created, machine, set, origin }) =>
    line(` ${columns([utc(created), machine, set, `from a ${origin}`], [16, 24, 16])}`),
  );
  return [title, ...shown];
}

export function notKnown(it: Known<unknown>): Line {
  return it.kind === 'refused' ? line(` ${it.message}`, 'bad') : line(' asking ...');
}
