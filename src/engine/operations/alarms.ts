import type { AlarmBook } from '../../alarms/alarm-book.ts';
import { stands } from '../../alarms/alarm-state.ts';
import type { AlarmRecord } from '../../formats/store/service/alarm.ts';
import type { AlarmSummary } from '../../operations/nouns/alarm.ts';
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
  { alarms, sessions }: { readonly alarms: AlarmBook; readonly sessions: SessionSupervisor },
  id: string,
  who: UnixPeer | undefined,
): Promise<AlarmSummary> {
  const found = alarms.list().find((it) => it.id === id && stands(it));
  // First: else a crash in between would raise the alarm again.
  if (found?.kind === 'session-left' && found.about !== undefined) {
    await sessions.placed.forgive(found.about);
  }
  return summaryOf(await alarms.acknowledge(id, (who ?? ownIds()).uid));
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
