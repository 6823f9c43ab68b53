import type { Operation } from '../../operations/base/operation.ts';
import type { OperationName } from '../../operations/operations.ts';

/* One declaration at a time: to load all takes longer than many a command. */

type Load = () => Promise<{ readonly operations: readonly Operation[] }>;
type NounOf<N> = N extends `${infer Noun}/${string}` ? Noun : never;

const alarm: Load = () => import('../../operations/nouns/alarm.ts');
const audit: Load = () => import('../../operations/nouns/audit.ts');
const background: Load = () => import('../../operations/nouns/background.ts');
const backup: Load = () => import('../../operations/nouns/backup.ts');
const backupExport: Load = () => import('../../operations/nouns/backup-export.ts');
const disk: Load = () => import('../../operations/nouns/disk.ts');
const files: Load = () => import('../../operations/nouns/files.ts');
const finalize: Load = () => import('../../operations/nouns/finalize.ts');
const host: Load = () => import('../../operations/nouns/host.ts');
const hypervisor: Load = () => import('../../operations/nouns/hypervisor.ts');
const job: Load = () => import('../../operations/nouns/job.ts');
const marks: Load = () => import('../../operations/nouns/marks.ts');
const network: Load = () => import('../../operations/nouns/network.ts');
const placed: Load = () => import('../../operations/nouns/placed.ts');
const retain: Load = () => import('../../operations/nouns/retain.ts');
const restore: Load = () => import('../../operations/nouns/restore.ts');
const restoreToHypervisor: Load = () => import('../../operations/nouns/restore-to-hypervisor.ts');
const service: Load = () => import('../../operations/nouns/service.ts');
const session: Load = () => import('../../operations/nouns/session.ts');
const set: Load = () => import('../../operations/nouns/set.ts');
const ssh: Load = () => import('../../operations/nouns/ssh.ts');
const store: Load = () => import('../../operations/nouns/store.ts');
const token: Load = () => import('../../operations/nouns/token.ts');
const verify: Load = () => import('../../operations/nouns/verify.ts');

/** The files of each noun, with the one that takes longer behind the other. */
const FILES: Readonly<Record<NounOf<OperationName>, readonly Load[]>> = {
  ...{ service: [service], export: [service], support: [service] },
  ...{ alarm: [alarm], notify: [alarm], audit: [audit], token: [token], lockdown: [token] },
  ...{ store: [store], set: [set], backup: [backup, retain, marks, backupExport], clock: [alarm] },
  restore: [restore, restoreToHypervisor],
  ...{ job: [job, background], schedule: [job, background] },
  ...{ session: [session, placed, finalize], files: [files] },
  ...{ network: [network], host: [host], ssh: [ssh], 'ssh-key': [ssh], disk: [disk], pool: [disk] },
  ...{ hypervisor: [hypervisor], verify: [verify] },
};

export async function declared(name: OperationName): Promise<Operation> {
  const noun = name.slice(0, name.indexOf('/')) as NounOf<OperationName>;
  for (const load of FILES[noun]) {
    const { operations } = await load();
    const found = operations.find((it) => it.name === name);
    if (found) return found;
  }
  throw new Error(`${name} is not declared with its noun`);
}
