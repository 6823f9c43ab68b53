import type { AlarmBook } from '../../alarms/alarm-book.ts';
import { stands } from '../../alarms/alarm-state.ts';
import { AlarmError } from '../../alarms/alarm-error.ts';
import type { AlarmKind, AlarmRecord } from '../../formats/store/service/alarm.ts';
import type { AlarmSummary } from '../../operations/nouns/alarm.ts';
import type { Monitor } from '../watch/monitor.ts';
import type { SessionSupervisor } from '../sessions/session-supervisor.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import { ownIds, type UnixPeer } from '../../sys/net/unix-peer.ts';

/** The operations on alarms. */
export function listAlarms(
  alarms: AlarmBook,
  { all }: RequestOf<'alarm/list'>,
): ResultOf<'alarm/list'> {
  const shown = alarms.list().filter((it) => all || stands(it));
  return { alarms: shown.map(summaryOf) };
}

/** What a session has left on a hypervisor stays there from then on, and is the administrator's. Rejects NOT_FOUND. */
export async function acknowledge(
  {
    monitor,
    sessions,
  }: {
    readonly monitor: Pick<Monitor, 'alarms' | 'persons' | 'agree'>;
    readonly sessions: SessionSupervisor;
  },
  id: string,
  who: UnixPeer | undefined,
): Promise<AlarmSummary> {
  const { alarms } = monitor;
  const found = alarms.list().find((it) => it.id === id && stands(it));
  if (found && OF_THE_CLOCK.includes(found.kind)) requireAgreed(monitor, found, who);
  // First: else a crash in between would raise the alarm again.
  if (found?.kind === 'session-left' && found.about !== undefined) {
    await sessions.placed.forgive(found.about);
  }
  return summaryOf(await alarms.acknowledge(id, (who ?? ownIds()).uid));
}

/** To acknowledge one of these allows deletions by a clock that may be wrong: it needs as many as a lockdown's end. */
const OF_THE_CLOCK: readonly AlarmKind[] = ['clock-jump', 'trusted-time'];

/** Throws LOCKED while another user has to agree. */
function requireAgreed(
  { persons, agree }: Pick<Monitor, 'persons' | 'agree'>,
  { id }: AlarmRecord,
  who: UnixPeer | undefined,
): void {
  if (persons() === 1) return;
  const rule = `two users have to acknowledge ${id} (the settings say so, "lockdown.persons")`;
  if (!who) throw new AlarmError('LOCKED', `${rule}, and a token is not a user`);
  if (agree(id, who.uid)) return;
  throw new AlarmError('LOCKED', `${rule}: user ${who.uid} has, another one has an hour to`);
}

export function countsOf(alarms: AlarmBook): Omit<ResultOf<'service/show'>['alarms'], 'untold'> {
  const standing = alarms.list().filter(stands);
  const open = standing.filter(({ acknowledged }) => acknowledged === undefined);
  const critical = open.filter(({ level }) => level === 'critical').length;
  return {
    critical,
    warning: open.length - critical,
    acknowledged: standing.length - open.length,
  };
}

function summaryOf(alarm: AlarmRecord): AlarmSummary {
  const { id, kind, about = null, level, message, times, raised, changed } = alarm;
  const { acknowledged = null, ended = null } = alarm;
  return {
    ...{ alarm: id, kind, level, about, message, times },
    ...{ raised, changed, acknowledged, ended },
  };
}
