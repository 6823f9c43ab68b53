import {
  anyObject,
  field,
  flag,
  integer,
  list,
  nullable,
  type Of,
  object,
  optional,
  withDefault,
} from '../../lib/schema.ts';
import {
  count,
  damage,
  line,
  MANY,
  nothing,
  prose,
  store,
  timeOrNull,
  word,
} from '../base/fields.ts';
import { mutation, query } from '../base/operation.ts';
import { reclaimable, sweepResult } from '../base/swept.ts';
import { storeSpace } from './service.ts';

const REQUEST_MAX = 4 * 1024 * 1024;

const storeSummary = object({ store, id: field(word, 'ID of the store') });
export type StoreSummary = Of<typeof storeSummary>;

/** What a store holds, all of which is there or not with it. */
const IN_STORE = ['store', 'set', 'backup', 'session', 'job', 'schedule', 'alarm', 'lockdown'];

const create = mutation('store/create', {
  summary: 'Create a store',
  description: 'Creates the store that the settings of the service name.',
  runs: 'service',
  changes: IN_STORE,
  request: nothing,
  result: storeSummary,
});

const order = { request: field(anyObject(REQUEST_MAX), 'what it is to do') };
const kind = field(word, 'what it does');

const adopt = mutation('store/adopt', {
  summary: 'Show orders that this host did not give, and adopt them',
  description: 'Without "plan", shows them; with the plan that was shown, adopts exactly these.',
  runs: 'store',
  changes: IN_STORE,
  // Sessions show decrypted disks, jobs read files of this machine.
  remote: { denied: 'adopted orders may read files of the host' },
  request: object({
    plan: field(optional(line(128)), 'the plan that was shown', { placeholder: 'PLAN' }),
  }),
  result: object({
    store,
    plan: field(word, 'names what is shown: a request with it adopts exactly that'),
    adopted: field(flag(), 'whether it was adopted'),
    memory: field(nullable(prose), 'why the host remembers nothing at all; null: it does'),
    lost: field(
      list(word, MANY),
      'features that the store had when it was used last, and lacks now',
    ),
    sessions: field(
      list(
        object({
          session: field(word, 'ID of the session'),
          set: field(word, 'name of the backup set'),
          point: field(word, 'ID of the recovery point'),
          listen: field(prose, 'where it is exported'),
          tls: field(flag(), 'whether TLS is required'),
          starts: field(flag(), 'whether the service starts it automatically'),
          nfs: field(nullable(list(word, MANY)), 'hosts that may use it over NFS; null: none'),
        }),
        MANY,
      ),
      'sessions',
    ),
    jobs: field(list(object({ job: field(word, 'ID of the job'), kind, ...order }), MANY), 'jobs'),
    schedules: field(
      list(
        object({
          schedule: field(word, 'name of the schedule'),
          at: field(word, 'when it creates jobs'),
          kind,
          ...order,
        }),
        MANY,
      ),
      'schedules',
    ),
    sets: field(
      list(
        object({
          set: field(word, 'name of the backup set'),
          encrypted: field(flag(), 'whether it is encrypted now'),
          wasEncrypted: field(flag(), 'whether it was encrypted when this host used it last'),
        }),
        MANY,
      ),
      'sets that have changed',
    ),
    older: field(
      list(
        object({
          set: field(word, 'name of the backup set'),
          machine: field(word, 'name of the machine'),
          point: field(word, 'the newest recovery point that was created here'),
        }),
        MANY,
      ),
      'machines whose recovery points are older than those created here',
    ),
  }),
});

const storeUsage = object({
  space: field(storeSpace, 'the file system of the store'),
  growth: field(
    object({
      since: timeOrNull('since when it is measured; null: not yet'),
      bytesPerDay: field(
        nullable(integer(-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)),
        'growth in the last days; null: it was not measured for long enough',
      ),
      fullAt: timeOrNull('when it is full at that rate; null: not, or not known'),
    }),
    'how fast it fills',
  ),
  saving: field(
    object({
      points: field(count, 'how many of the newest recovery points are counted'),
      readBytes: field(count, 'bytes read of their machines'),
      storedBytes: field(count, 'how many of these bytes were new, compressed'),
    }),
    'what deduplication and compression save',
  ),
  reclaimable,
});
export type StoreUsage = Of<typeof storeUsage>;

const usage = query('store/usage', {
  summary: 'Show how full the store is, when it will be full, and what it saves',
  description:
    'The forecast is a straight line through the last seven days, and needs one day at least. The saving ' +
    'compares, for the newest 300 recovery points, the bytes read from the machines with the bytes that had to be ' +
    'stored.',
  runs: 'store',
  shows: ['store', 'backup'],
  request: object({
    reclaimable: field(
      withDefault(flag(), false),
      'also find out what a sweep would give back: minutes in a large store',
    ),
  }),
  result: storeUsage,
  cli: { examples: ['store usage', 'store usage --reclaimable'] },
});

const checkResult = object({
  packs: field(count, 'packs checked'),
  frames: field(count, 'blocks and nodes in them'),
  bytes: field(count, 'bytes of the packs'),
  points: field(count, 'recovery points'),
  locked: field(list(word, MANY), 'sets whose key was not given: their manifests were not checked'),
  wrongKey: field(list(word, MANY), 'sets of these for which a key was given that opens no set'),
  problems: damage,
  plainSessions: field(
    list(word, MANY),
    'sessions with data in plain text, written by an older version',
  ),
  strays: field(list(prose, MANY), 'paths that are not files of Holdfast; at most 100'),
});
export type CheckResult = Of<typeof checkResult>;

const check = mutation('store/check', {
  summary: 'Check the store for damage',
  description:
    'Checks headers and footers of all packs, all records, the audit log and, of the sets whose key is given, all ' +
    'manifests and what guests of sessions wrote. A set whose key is not given is reported as locked.',
  runs: 'worker',
  changes: [],
  key: 'given',
  lockdown: 'allowed',
  job: { kind: 'check' },
  request: object({
    readData: field(withDefault(flag(), false), 'read and check every block as well'),
  }),
  result: checkResult,
  cli: {
    notes: 'Exit code 6 if anything is damaged, 4 if a key was given that opens no set.',
    examples: ['store check', 'store check --read-data --queue'],
  },
});

const MONTHS_MAX = 400 * 86_400;

const hurt = field(
  list(
    object({
      set: field(word, 'name of the backup set'),
      machine: field(word, 'name of the machine'),
      point: field(word, 'ID of the recovery point'),
      disk: field(word, 'name of the disk, or of a file of the definition'),
      blocks: field(count, 'its blocks that cannot be read'),
      nodes: field(count, 'parts of its manifest that cannot be read'),
      bytes: field(count, 'bytes of it that cannot be read'),
      places: field(
        list(
          object({ offset: field(count, 'offset in the disk'), length: field(count, 'length') }),
          MANY,
        ),
        'the first of these places',
      ),
    }),
    MANY,
  ),
  'disks of recovery points that need what is damaged, of the sets whose key is given',
);

const scrubResult = object({
  started: timeOrNull('when this pass over the store began; null: none has begun'),
  ended: timeOrNull('when it had read everything; null: it goes on with the next run'),
  packs: field(count, 'packs read by this run'),
  bytes: field(count, 'bytes of these packs'),
  donePacks: field(count, 'packs of the store that this pass has read so far'),
  allPacks: field(count, 'packs of the store'),
  opened: field(count, 'blocks and nodes that this pass authenticated and decoded'),
  summed: field(count, 'blocks and nodes of which it verified only the checksum'),
  unverified: field(
    list(object({ what: field(prose, 'a part'), why: field(prose, 'the reason') }), MANY),
    'what this run could not verify',
  ),
  problems: damage,
  found: field(count, 'problems that all runs of this pass have found so far'),
  wanted: field(count, 'blocks and nodes that are known to be damaged or missing'),
  hurt,
});
export type ScrubResult = Of<typeof scrubResult>;

const scrub = mutation('store/scrub', {
  summary: 'Read all blocks of the store again, a part at a time',
  description:
    'Continues where the last run ended. Blocks of sets whose key is given are authenticated and decoded; of others, ' +
    'checksums are verified. In the service, it gives way to guests. Damaged blocks are marked: the next backup of ' +
    'the same contents stores them again.',
  runs: 'worker',
  changes: ['store'],
  key: 'given',
  lockdown: 'allowed',
  job: { kind: 'scrub' },
  request: object({
    period: field(
      optional(integer(3600, MONTHS_MAX)),
      'read only as much as regular runs need to cover the whole store within this time, such as 30d (at least 1h); ' +
        'default: read everything that is left',
      { placeholder: 'TIME' },
    ),
  }),
  result: scrubResult,
  cli: {
    options: { period: { form: 'duration' } },
    notes: 'Exit code 6 if anything is damaged.',
    examples: ['store scrub', 'store scrub --period 30d --queue'],
  },
});

const part = object({
  where: field(prose, 'a file of the store'),
  what: field(prose, 'which, or why'),
});

const repairResult = object({
  dryRun: field(flag(), 'whether nothing was changed'),
  mended: field(list(part, MANY), 'files that were put back, or would be'),
  lost: field(list(part, MANY), 'files that are damaged and have no whole copy'),
  locked: field(list(word, MANY), 'sets whose key was not given: their data was not checked'),
  wanted: field(count, 'blocks and nodes that are known to be damaged or missing'),
  hurt,
  machines: field(
    list(
      object({
        set: field(word, 'name of the backup set'),
        machine: field(word, 'name of the machine'),
        blocks: field(
          count,
          'blocks of a recovery point that its next full backup may store again',
        ),
      }),
      MANY,
    ),
    'machines that should be backed up fully',
  ),
});
export type RepairResult = Of<typeof repairResult>;

const repair = mutation('store/repair', {
  summary: 'Put back damaged parts of the store from their second copies',
  description:
    'Manifests and the records of recovery points and sets exist twice. Blocks exist once: for those that are lost, ' +
    'it lists the machines whose next full backup stores again what they still have. A recovery point that was ' +
    'forgotten stays forgotten.',
  runs: 'worker',
  changes: ['store', 'set', 'backup'],
  key: 'given',
  lockdown: 'allowed',
  request: object({
    dryRun: field(withDefault(flag(), false), 'only show what would be put back'),
  }),
  result: repairResult,
  cli: {
    notes: 'Exit code 6 if anything is lost.',
    examples: ['store repair --dry-run', 'store repair'],
  },
});

const sweep = mutation('store/sweep', {
  summary: 'Free the space of data that no recovery point needs',
  description:
    'Removes no recovery point: it gives back the space of those that were forgotten. Sessions continue in the ' +
    'meantime; the sweep waits while a backup writes. A set is not swept if one of its recovery points, manifests ' +
    'or leases cannot be read. It needs no key, except once for packs of earlier releases.',
  runs: 'worker',
  changes: ['store'],
  key: 'given',
  job: { kind: 'sweep' },
  request: object({
    dryRun: field(withDefault(flag(), false), 'only show what would be given back'),
  }),
  result: sweepResult,
  cli: {
    notes:
      'Exit code 6 if data that cannot be read kept a set from being swept. During a lockdown, and before the alarms ' +
      'clock-jump and trusted-time are acknowledged, the sweep is refused.',
    examples: ['store sweep --dry-run', 'store sweep', 'store sweep --queue'],
  },
});

const upgrade = mutation('store/upgrade', {
  summary: 'Give an older store the features of new ones, or show which it lacks',
  description:
    'A store is never upgraded automatically. Earlier releases can no longer use an upgraded store. The ' +
    'upgrade needs the keys of all encrypted sets, and all sessions stopped. It can be interrupted, and ' +
    'repeated.',
  runs: 'store',
  changes: ['store'],
  key: 'opens',
  passkey: 'not asked',
  request: object({
    confirmed: field(
      withDefault(flag(), false),
      'upgrade the store; without it, show what would change',
    ),
  }),
  result: object({
    store,
    features: field(
      list(
        object({
          feature: field(word, 'name of the feature'),
          changes: field(prose, 'what it changes'),
        }),
        MANY,
      ),
      'features that it lacks, or has now',
    ),
    upgraded: field(flag(), 'whether it was upgraded'),
  }),
  cli: {
    options: { confirmed: { name: 'yes' } },
    examples: ['store upgrade', 'store upgrade --yes'],
  },
});

const rebuildIndex = mutation('store/rebuild-index', {
  summary: 'Rebuild the index from the packs',
  description: 'The index only lists the contents of the packs: it can be rebuilt at any time.',
  runs: 'worker',
  changes: ['store'],
  lockdown: 'allowed',
  request: nothing,
  result: object({ rebuilt: field(flag(), 'true'), damage }),
  cli: { says: 'The index is rebuilt.', examples: ['store rebuild-index'] },
});
export type RebuiltIndex = Of<typeof rebuildIndex.result>;

export const operations = [
  create,
  adopt,
  usage,
  check,
  scrub,
  repair,
  sweep,
  upgrade,
  rebuildIndex,
] as const;
