import type { Of } from '../lib/schema.ts';
import type { Runs } from './base/operation.ts';
import { operations as alarm } from './nouns/alarm.ts';
import { operations as audit } from './nouns/audit.ts';
import { operations as background } from './nouns/background.ts';
import { operations as backup } from './nouns/backup.ts';
import { operations as backupExport } from './nouns/backup-export.ts';
import { operations as disk } from './nouns/disk.ts';
import { operations as finalize } from './nouns/finalize.ts';
import { operations as files } from './nouns/files.ts';
import { operations as host } from './nouns/host.ts';
import { operations as hypervisor } from './nouns/hypervisor.ts';
import { operations as job } from './nouns/job.ts';
import { operations as marks } from './nouns/marks.ts';
import { operations as network } from './nouns/network.ts';
import { operations as placed } from './nouns/placed.ts';
import { operations as restore } from './nouns/restore.ts';
import { operations as retain } from './nouns/retain.ts';
import { operations as restoreToHypervisor } from './nouns/restore-to-hypervisor.ts';
import { operations as service } from './nouns/service.ts';
import { operations as session } from './nouns/session.ts';
import { operations as set } from './nouns/set.ts';
import { operations as ssh } from './nouns/ssh.ts';
import { operations as store } from './nouns/store.ts';
import { operations as token } from './nouns/token.ts';
import { operations as verify } from './nouns/verify.ts';

const ALL = [
  ...service,
  ...alarm,
  ...token,
  ...audit,
  ...store,
  ...set,
  ...backup,
  ...retain,
  ...backupExport,
  ...marks,
  ...restore,
  ...restoreToHypervisor,
  ...finalize,
  ...background,
  ...job,
  ...session,
  ...placed,
  ...files,
  ...network,
  ...host,
  ...ssh,
  ...disk,
  ...hypervisor,
  ...verify,
] as const;

type Any = (typeof ALL)[number];
type Table = { readonly [O in Any as O['name']]: O };

/** All operations by name: `session/list` is `POST /v1/session/list`. */
export const OPERATIONS = Object.fromEntries(ALL.map((it) => [it.name, it])) as unknown as Table;

export type OperationName = keyof Table;
export type RequestOf<N extends OperationName> = Of<Table[N]['request']>;
export type ResultOf<N extends OperationName> = Of<Table[N]['result']>;

export type NameOf<W extends Runs> = {
  readonly [N in OperationName]: Table[N]['runs'] extends W ? N : never;
}[OperationName];

/** What is done by a process that may open the store, with the service or without one. */
export type StoreOperationName = NameOf<'store' | 'worker'>;
/** Those that take long: a process of their own carries them out for the service. */
export type WorkerOperationName = NameOf<'worker'>;
/**
 * Operations on the machine itself, which need root's rights: the service passes them on to holdfast-hostd.service.
 */
export type HostOperationName = NameOf<'hostd'>;
/**
 * Operations that mount volumes, which needs root's rights: the service passes them on to
 * systemd/holdfast-filesd.service.
 */
export type FilesOperationName = NameOf<'filesd'>;

/** The names of operations that one process carries out. */
export function namesOf<W extends Runs>(runs: W): readonly NameOf<W>[] {
  const names = Object.keys(OPERATIONS) as OperationName[];
  return names.filter((name): name is NameOf<W> => OPERATIONS[name].runs === runs);
}
