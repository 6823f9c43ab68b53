import {
  field,
  flag,
  integer,
  list,
  nullable,
  type Of,
  object,
  text,
  withDefault,
} from '../../lib/schema.ts';
import {
  count,
  MANY,
  nothing,
  prose,
  readBytes,
  store,
  time,
  timeOrNull,
  word,
  writtenBytes,
} from '../base/fields.ts';
import { mutation, query } from '../base/operation.ts';

/* The service itself: its state, its throughput, and the support bundle. */

export const storeSpace = object({
  freeBytes: field(count, 'bytes that the service may still use'),
  totalBytes: field(count, 'bytes of the file system'),
});

const hostFacts = object({
  name: field(word, 'name of the host that the service runs on'),
  addresses: field(list(word, MANY), 'addresses at which other hosts may reach it'),
});
export type HostFacts = Of<typeof hostFacts>;

const queue = object({
  running: field(count, 'how many run'),
  waiting: field(count, 'how many wait'),
});

const show = query('service/show', {
  summary: 'Show what the service does',
  runs: 'service',
  shows: ['store', 'session', 'job', 'alarm', 'lockdown', 'host', 'network'],
  request: nothing,
  result: object({
    pid: field(count, 'process ID of the service'),
    started: time('when the service was started'),
    store,
    storeId: field(nullable(word), 'ID of the store; null: there is no store yet'),
    space: field(nullable(storeSpace), 'the file system of the store; null: there is no store yet'),
    host: field(hostFacts, 'the host'),
    sessions: field(queue, 'recovery sessions'),
    jobs: field(queue, 'jobs'),
    lockdown: timeOrNull('since when the lockdown is on; null: it is off'),
    notAdopted: field(list(prose, MANY), 'orders in the store that this host does not obey'),
    alarms: field(
      object({
        critical: field(count, 'open critical alarms'),
        warning: field(count, 'open warnings'),
        acknowledged: field(count, 'open alarms that are acknowledged'),
        untold: field(count, 'notifications that wait to be sent'),
      }),
      'alarms',
    ),
  }),
  cli: { examples: ['service show', 'service show --json'] },
});

const follow = query('service/follow', {
  summary: 'Report events of sessions and jobs, and alarms, as they happen',
  description: 'Until the client disconnects.',
  runs: 'service',
  shows: [],
  request: nothing,
  result: nothing,
});

const rates = object({
  readBytes: field(count, 'bytes a second that guests read'),
  writtenBytes: field(count, 'bytes a second that guests write'),
  ingestBytes: field(count, 'bytes a second that backups read'),
});
export type ThroughputRates = Of<typeof rates>;

const throughput = object({
  seconds: field(count, 'length of each part in seconds'),
  now: field(rates, 'the last seconds'),
  points: field(list(rates, MANY), 'the last hour, the oldest part first; each is a mean'),
});
export type Throughput = Of<typeof throughput>;

const throughputOf = query('service/throughput', {
  summary: 'Show what guests and backups read and write, now and in the last hour',
  description: 'Bytes a second. Values from before the start of the service are not known.',
  runs: 'service',
  shows: [],
  request: object({
    points: field(withDefault(integer(1, 720), 60), 'parts of the last hour', { placeholder: 'N' }),
  }),
  result: throughput,
  cli: { examples: ['service throughput', 'service throughput --points 12'] },
});

const ARCHIVE_MAX = 16 * 1024 * 1024;

const support = mutation('support/create', {
  summary: 'Collect logs and settings for a support request, without secrets',
  runs: 'store',
  changes: [],
  lockdown: 'allowed',
  request: nothing,
  result: object({
    name: field(word, 'a name for the file'),
    contents: field(
      list(
        object({
          file: field(word, 'name of the file in it'),
          bytes: field(count, 'its size'),
          cut: field(flag(), 'whether only its end is there'),
        }),
        MANY,
      ),
      'the files in it',
    ),
    archive: field(text({ max: ARCHIVE_MAX }), 'a tar.gz in base64'),
  }),
});

const traffic = { readBytes, writtenBytes };
/** Bytes of data. */
export interface Traffic {
  readonly readBytes: number;
  readonly writtenBytes: number;
}

const client = object({
  address: field(nullable(word), 'address of the client; null: this host, over a unix socket'),
  since: time('since when it is connected'),
  ...traffic,
});
export type ExportClient = Of<typeof client>;

const sessionExport = object({
  session: field(word, 'ID of the session'),
  uri: field(prose, 'where clients find it'),
  ...traffic,
  clients: field(list(client, MANY), 'clients that are connected now'),
});
export type SessionExport = Of<typeof sessionExport>;

const exports_ = query('export/list', {
  summary: 'List what running sessions export, and their clients',
  runs: 'service',
  shows: ['session'],
  request: nothing,
  result: object({ exports: field(list(sessionExport, MANY), 'exports of running sessions') }),
  cli: { examples: ['export list'] },
});

export const operations = [show, follow, throughputOf, support, exports_] as const;
