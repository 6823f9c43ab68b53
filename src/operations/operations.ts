import type { Of } from '../lib/schema.ts';
import { operations as alarm } from './alarm.ts';
import { operations as audit } from './audit.ts';
import { operations as background } from './background.ts';
import { operations as backup } from './backup.ts';
import { operations as disk } from './disk.ts';
import { operations as files } from './files.ts';
import { operations as host } from './host.ts';
import { operations as job } from './job.ts';
import { operations as network } from './network.ts';
import type { Runs } from './operation.ts';
import { operations as service } from './service.ts';
import { operations as session } from './session.ts';
import { operations as set } from './set.ts';
import { operations as ssh } from './ssh.ts';
import { operations as store } from './store.ts';
import { operations as token } from './token.ts';

const ALL = [
  ...service,
  ...alarm,
  ...token,
  ...audit,
  ...store,
  ...set,
  ...backup,
  ...background,
  ...job,
  ...session,
  ...files,
  ...network,
  ...host,
  ...ssh,
  ...disk,
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
