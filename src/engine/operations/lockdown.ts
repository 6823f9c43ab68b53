import { AlarmError } from '../../alarms/alarm-error.ts';
import type { Lockdown } from '../../alarms/lockdown.ts';
import type { Operation } from '../../operations/base/operation.ts';
import { OPERATIONS, type OperationName, type ResultOf } from '../../operations/operations.ts';
import { ownIds, type UnixPeer } from '../../sys/net/unix-peer.ts';

/** Throws LOCKED for operations that change something and that no recovery needs. */
export function checkLockdown(lockdown: Lockdown, name: OperationName, request: object): void {
  const { access, lockdown: inLockdown }: Operation = OPERATIONS[name];
  if (!lockdown.state() || access === 'view' || inLockdown === 'allowed') return;
  const asked = new Map(Object.entries(request));
  const refused = Object.entries(inLockdown?.refused ?? {}).find(
    ([field, value]) => asked.get(field) === value,
  );
  if (inLockdown && !refused) return;
  const what = refused ? `${name} with ${refused.join(' ')}` : name;
  const advice = 'only queries, recoveries and checks are allowed until "holdfast lockdown off"';
  throw new AlarmError('LOCKED', `the lockdown is on, and ${what} is refused: ${advice}`);
}

export function showLockdown(lockdown: Lockdown): ResultOf<'lockdown/show'> {
  const { since, uid, persons, approvals } = lockdown.state() ?? OFF;
  return { on: since !== null, since, uid, persons, approvals: [...approvals] };
}

export async function beginLockdown(
  lockdown: Lockdown,
  persons: number,
  who: UnixPeer | undefined,
): Promise<ResultOf<'lockdown/show'>> {
  await lockdown.begin((who ?? ownIds()).uid, persons);
  return showLockdown(lockdown);
}

export async function endLockdown(
  lockdown: Lockdown,
  who: UnixPeer | undefined,
): Promise<ResultOf<'lockdown/show'>> {
  await lockdown.end((who ?? ownIds()).uid);
  return showLockdown(lockdown);
}

const OFF = { since: null, uid: null, persons: 0, approvals: [] } as const;
