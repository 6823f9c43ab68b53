import { openAudit } from '../../src/engine/audit/audit.ts';
import type { CrashingFs } from './crashing-fs.ts';
import { HOME, simulatedWorld } from './store.ts';

/** Who changes something. */
export const ROOT = { pid: 7, uid: 0, gids: [0, 10] };
export const AUDIT = `${HOME}/audit.log`;

/** The audit log of a store on a simulated disk, as a service that starts opens it, and what it reports. */
export async function openedAudit({ files }: Pick<CrashingFs, 'files'>, fileLength?: number) {
  await files.makeDirectory(HOME);
  await files.syncDirectory('/');
  const troubles: string[] = [];
  const report = (message: string): void => void troubles.push(message);
  const audit = await openAudit(simulatedWorld(files), HOME, report, fileLength);
  return { audit, troubles };
}
