import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeSession, type PlacedPhase } from '../../src/formats/store/sessions/session.ts';

/**
 * `unplaced`: a machine is to run from it, and none was planned yet. `ordinary`: nothing of it is on a hypervisor.
 * `none`: the session does not exist.
 */
export type SeenPhase = Exclude<PlacedPhase, 'preparing'> | 'unplaced' | 'ordinary' | 'none';

/** The phase of a session on a hypervisor, as its journal has it at this moment; of another if there is none such. */
export function phaseIn(store: string): SeenPhase {
  let found: SeenPhase = 'none';
  for (const id of readdirSync(join(store, 'sessions'))) {
    const seen = phaseOf(join(store, 'sessions', id, 'session.json'));
    if (seen === undefined) continue;
    found = seen;
    if (found !== 'ordinary') return found;
  }
  return found;
}

function phaseOf(path: string): SeenPhase | undefined {
  try {
    const { phase, placement, runsOn } = decodeSession(readFileSync(path));
    if (runsOn !== undefined) return 'unplaced';
    return placement && phase !== 'ready' && phase !== 'preparing' ? phase : 'ordinary';
  } catch {
    // It has just been removed, or is not there yet.
    return undefined;
  }
}
