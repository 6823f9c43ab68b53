import type { Remembered } from '../../box/store-memory.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import type {
  OverlayFigures,
  SessionSummary,
  ShownSession,
} from '../../operations/nouns/session.ts';
import type { ResultOf } from '../../operations/operations.ts';
import type { AttachedDisk } from '../../sessions/guest/guest-config.ts';
import type { SessionMachine } from '../../sessions/guest/session-machine.ts';
import { sessionAddresses } from '../../sessions/serve/session-addresses.ts';
import {
  findSession,
  holderOf,
  listSessions,
  type SessionStatus,
  sessionStatus,
} from '../../sessions/state/listed-sessions.ts';
import { isServed, readServed } from '../../sessions/state/served-sessions.ts';
import { isOwn } from '../../sessions/state/session-state.ts';
import type { Engine } from '../base/engine.ts';
import type { FollowedState } from './followed-session.ts';
import { sessionOrder } from './orders.ts';
import type { DrivenSession } from './placed/driven-session.ts';
import { shownPlaced } from './shown-placed.ts';

/* Sessions as they are shown, without the code that runs one: it takes long to load. */

/** Why the service cannot run a session yet that it should run. */
export type WhyWaiting = (session: string) => string | undefined;

/** What only the process knows that runs a session; undefined: it does not run here. */
export interface RunningHere {
  /** Statistics of its sealed overlays. */
  overlay(session: string): OverlayFigures | undefined;
  machine(session: string): SessionMachine | undefined;
  /** One with a machine on a hypervisor. */
  driven(session: string): DrivenSession | undefined;
}

export async function sessions(
  engine: Engine,
  whyWaiting: WhyWaiting | undefined,
): Promise<ResultOf<'session/list'>> {
  const { sessions, damaged } = await listSessions(engine.store);
  const remembered = await engine.memory.look();
  return {
    sessions: sessions.map((it) => summaryOf(engine, it, { whyWaiting, remembered })),
    damaged,
  };
}

export async function showSession(
  engine: Engine,
  id: string,
  service: (RunningHere & { readonly whyWaiting: WhyWaiting }) | undefined,
): Promise<ShownSession> {
  const remembered = await engine.memory.look();
  const status = await sessionStatus(engine.store, id);
  const { record, holder } = status;
  const placed = shownPlaced(record, service?.driven(id));
  const { attachments } = await import('./attach.ts');
  return {
    ...summaryOf(engine, status, { whyWaiting: service?.whyWaiting, remembered }),
    placed,
    overlay: service?.overlay(id) ?? null,
    attach:
      holder === undefined || placed
        ? null
        : await attachments(record, await tlsOf(engine, record), service?.machine(id)),
  };
}

/** Rejects NOT_FOUND. */
export async function followedState(
  { store }: Engine,
  id: string,
  { driven, whyWaiting }: Pick<RunningHere, 'driven'> & { readonly whyWaiting: WhyWaiting },
): Promise<FollowedState> {
  const record = await findSession(store, id);
  const placed = shownPlaced(record, driven(id));
  return {
    state: shownState(record, await holderOf(store, id)),
    waits: waitsOf(record, whyWaiting),
    power: placed?.power ?? null,
    disks: placed?.disks ?? [],
  };
}

/** Only the service records which kind it is. */
async function tlsOf(engine: Engine, { id, tls }: SessionRecord): Promise<AttachedDisk['tls']> {
  if (!tls) return undefined;
  if (!(await isServed(engine.store, id))) return 'x509';
  return (await readServed(engine.store, id)).tls?.kind ?? 'x509';
}

function summaryOf(
  { disks }: Engine,
  { record, holder, takenBytes }: SessionStatus,
  {
    whyWaiting,
    remembered,
  }: { readonly whyWaiting: WhyWaiting | undefined; readonly remembered: Remembered },
): SessionSummary {
  const { id, set, point, machine, created, listen } = record;
  const adopted = remembered.isOurs(sessionOrder(record));
  const isReached = adopted || holder !== undefined;
  return {
    session: id,
    set,
    point,
    machine,
    created,
    state: shownState(record, holder),
    holder: holder ?? null,
    takenBytes,
    listen,
    // A record by another box or an attacker may make no sense.
    addresses: isReached ? sessionAddresses(record, holder === undefined ? undefined : disks) : [],
    waits: waitsOf(record, whyWaiting),
    adopted,
  };
}

function shownState({ phase }: SessionRecord, holder: string | undefined): SessionSummary['state'] {
  return holder === undefined || !isOwn(phase) ? phase : 'running';
}

function waitsOf(
  { id, placement }: SessionRecord,
  whyWaiting: WhyWaiting | undefined,
): string | null {
  return whyWaiting?.(id) ?? placement?.waits?.message ?? null;
}
