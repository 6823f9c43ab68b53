import {
  anyObject,
  flag,
  integer,
  list,
  nullable,
  object,
  oneOf,
  optional,
  type Schema,
  text,
} from '../lib/schema.ts';
import type {
  RebuiltIndex,
  AlarmSummary,
  CheckResult,
  DamagedPoint,
  HostFacts,
  JobSummary,
  KeptSession,
  MadePoint,
  PointSummary,
  ReadySession,
  ShownSession,
  ScheduleSummary,
  SessionExport,
  SessionSummary,
  SetSummary,
  StoreSpace,
  StoreSummary,
  StoreUsage,
  Throughput,
} from './results.ts';

/* The results as others read them: the compiler checks that they are those of results.ts. */

const name = text({ max: 256 });
const long = text({ max: 64 * 1024, min: 0 });
const count = integer(0, Number.MAX_SAFE_INTEGER);
const MANY = 10_000_000;

export const storeSummary: Schema<StoreSummary> = object({ store: long, id: name });

export const storeSpace: Schema<StoreSpace> = object({ freeBytes: count, totalBytes: count });

export const hostFacts: Schema<HostFacts> = object({ name, addresses: list(name, MANY) });

export const damagedPoint: Schema<DamagedPoint> = object({ path: long, reason: long });

export const setSummary: Schema<SetSummary> = object({
  set: name,
  created: name,
  encrypted: flag(),
  problem: nullable(long),
});

const point = {
  ...{ point: name, set: name, machine: name, created: name },
  origin: oneOf('backup', 'session'),
  parent: nullable(name),
  disks: list(object({ name, size: count, source: long }), 256),
  readBytes: count,
  storedBytes: count,
};
export const pointSummary: Schema<PointSummary> = object(point);

const damage = list(object({ where: long, what: long }), MANY);

export const keptSession: Schema<KeptSession> = object({ session: name, point: name, damage });

export const rebuiltIndex: Schema<RebuiltIndex> = object({ rebuilt: flag(), damage });

export const madePoint: Schema<MadePoint> = object({
  ...point,
  scopes: list(object({ disk: name, scope: oneOf('changes', 'all'), reason: long }), 256),
  damage,
});

const summary = {
  ...{ session: name, set: name, point: name, machine: name, created: name },
  state: oneOf('running', 'preparing', 'ready', 'keeping', 'cleaning'),
  holder: nullable(long),
  takenBytes: count,
  listen: long,
  addresses: list(long, MANY),
  waits: nullable(long),
  adopted: flag(),
};
export const sessionSummary: Schema<SessionSummary> = object(summary);

const traffic = { readBytes: count, writtenBytes: count };

export const sessionExport: Schema<SessionExport> = object({
  ...{ session: name, uri: long, ...traffic },
  clients: list(object({ address: nullable(name), since: name, ...traffic }), MANY),
});

const rates = object({ ...traffic, ingestBytes: count });

export const throughput: Schema<Throughput> = object({
  ...{ seconds: count, now: rates },
  points: list(rates, MANY),
});

export const storeUsage: Schema<StoreUsage> = object({
  space: storeSpace,
  growth: object({
    since: nullable(name),
    bytesPerDay: nullable(integer(-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)),
    fullAt: nullable(name),
  }),
  saving: object({ points: count, readBytes: count, storedBytes: count }),
});

const port = integer(0, 65_535);
const nfsResult = object({
  host: name,
  ports: object({ nfs: port, mount: port, portmap: port }),
  ...{ export: long, directory: long },
  files: list(long, MANY),
  snippets: object({
    ...{ linux: long, libvirt: long, esxi: long, proxmox: long, xcpng: long, qemu: long },
  }),
});

export const readySession = object({
  event: oneOf('ready'),
  session: name,
  point: name,
  exports: list(object({ disk: name, size: count, uri: long, sectorSize: optional(count) }), 256),
  qemu: long,
  libvirt: long,
  nfs: optional(nfsResult),
}) as Schema<ReadySession>;

export const shownSession: Schema<ShownSession> = object({
  ...summary,
  attach: nullable(readySession),
  overlay: nullable(object({ liveBytes: count, writtenBytes: count, copiedBytes: count })),
});

export const checkResult: Schema<CheckResult> = object({
  ...{ packs: count, frames: count, bytes: count, points: count },
  ...{ locked: list(name, MANY), wrongKey: list(name, MANY) },
  problems: damage,
  plainSessions: list(name, MANY),
  strays: list(long, MANY),
});

const kind = oneOf('backup', 'check', 'keep', 'restore');
const anything = anyObject(MANY);

export const jobSummary: Schema<JobSummary> = object({
  job: name,
  kind,
  state: oneOf('waiting', 'running', 'done', 'failed', 'canceled'),
  schedule: nullable(name),
  ...{ created: name, started: nullable(name), ended: nullable(name) },
  ...{ reason: nullable(long), notBefore: nullable(name), failures: count },
  needsKeyOf: nullable(name),
  adopted: flag(),
  ...{ request: anything, result: nullable(anything) },
  progress: nullable(object({ phase: name, position: count, total: count })),
});

export const scheduleSummary: Schema<ScheduleSummary> = object({
  ...{ schedule: name, at: name, kind, request: anything, created: name },
  adopted: flag(),
  next: nullable(name),
  last: nullable(
    object({
      ...{ job: name, state: oneOf('done', 'failed', 'canceled') },
      ...{ ended: name, reason: nullable(long) },
    }),
  ),
});

export const alarmSummary: Schema<AlarmSummary> = object({
  ...{ alarm: name, kind: name },
  level: oneOf('warning', 'critical'),
  ...{ about: nullable(name), message: long, times: count, raised: name, changed: name },
  acknowledged: nullable(object({ time: name, uid: count })),
  ended: nullable(name),
});

export const auditEntry = object({
  ...{ number: count, time: name, what: name },
  /** Of a process of this machine; or who asked from another host. */
  ...{ uid: nullable(count), gid: nullable(count), pid: nullable(count) },
  ...{ token: nullable(name), address: nullable(name) },
  outcome: oneOf('begun', 'done', 'failed', 'torn'),
  of: nullable(count),
  request: nullable(anything),
  reason: nullable(long),
});
