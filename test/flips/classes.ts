/**
 * What each kind of file is there for. `needed`: a restore, a session or a lock needs it, and `store check` finds its
 * damage. `copy`: one of two, either of which is enough; check finds it all the same. `cache`: it is made again, and
 * never changes a result. `book`: what the service wrote down; each reader of it says that it is damaged.
 */
export type FileClass = 'needed' | 'copy' | 'cache' | 'book';

export interface FileKind {
  readonly name: string;
  readonly path: RegExp;
  readonly class: FileClass;
  /** Damage that check does not find, or that reads as something else, and why that is so today. */
  readonly open?: readonly Exception[];
  /** Damage that may hit what nothing needs: check finds nothing then, and nothing may read as something else. */
  readonly idle?: readonly Exception[];
}

interface Exception {
  readonly damage: readonly DamageKind[];
  readonly why: string;
}

const ALL: readonly DamageKind[] = ['flip', 'truncate', 'swap', 'delete'];

export const FILE_KINDS: readonly FileKind[] = [
  { name: 'pack', path: /^packs\/\d{5}\/\d{8}\.pack$/, class: 'needed' },
  {
    name: 'reference list',
    path: /^packs\/\d{5}\/\d{8}\.refs$/,
    class: 'needed',
    idle: [{ damage: ['delete'], why: 'packs of earlier releases have none' }],
  },
  {
    name: 'point',
    path: /^sets\/\w+\/points\/[^/]+\.point$/,
    class: 'needed',
  },
  { name: 'head', path: /^sets\/\w+\/heads\/[^/]+\.head$/, class: 'needed' },
  { name: 'set', path: /^sets\/\w+\/set(\.copy)?\.json$/, class: 'copy' },
  { name: 'store', path: /^holdfast-store(\.copy)?\.json$/, class: 'copy' },
  {
    name: 'journal',
    path: /^sessions\/[^/]+\/session\.json$/,
    class: 'needed',
    open: [{ damage: ['delete'], why: 'a directory without a journal is what a crash leaves' }],
  },
  {
    name: 'served',
    path: /^sessions\/[^/]+\/served\.json$/,
    class: 'needed',
    open: [{ damage: ALL, why: 'check does not read it; the service that does says so' }],
  },
  { name: 'overlay head', path: /^sessions\/[^/]+\/[^/]+\.head$/, class: 'needed' },
  {
    name: 'overlay segment',
    path: /^sessions\/[^/]+\/[^/]+\.seg$/,
    class: 'needed',
    open: [{ damage: ['delete'], why: 'without its newest segment a log is as of a flush before' }],
    idle: [
      { damage: ['flip', 'truncate'], why: 'most places of a segment hold nothing, or no longer' },
      { damage: ['swap'], why: 'the newest segment is made in advance, and holds nothing yet' },
    ],
  },
  { name: 'overlay summary', path: /^sessions\/[^/]+\/[^/]+\.sum$/, class: 'cache' },
  {
    name: 'names',
    path: /^sessions\/[^/]+\/files\.log$/,
    class: 'needed',
    open: [
      {
        damage: ['truncate'],
        why: 'a log that ends early looks like one whose last record was torn',
      },
      { damage: ['flip'], why: 'only the last record may be torn, and that one looks so' },
    ],
  },
  { name: 'lease', path: /^leases\/[^/]+\.json$/, class: 'needed' },
  {
    name: 'last-pack',
    path: /^last-pack\.json$/,
    class: 'needed',
    open: [{ damage: ['delete'], why: 'older stores have none, and the packs say it themselves' }],
  },
  { name: 'second copy', path: /^copies\/.+$/, class: 'cache' },
  { name: 'index', path: /^block-index\/.+$/, class: 'cache' },
  { name: 'profile', path: /^sets\/\w+\/profiles\/.+$/, class: 'cache' },
  { name: 'growth', path: /^growth\.json$/, class: 'cache' },
  { name: 'audit', path: /^audit\.log$/, class: 'book' },
  { name: 'job', path: /^jobs\/.+\.json$/, class: 'book' },
  { name: 'schedule', path: /^schedules\/.+\.json$/, class: 'book' },
];

/** Files that say nothing, such as locks. */
export const SAYS_NOTHING = /(^|\/)(lock|LOCK|LOG|LOG\.old)$/;

export type DamageKind = 'flip' | 'truncate' | 'swap' | 'delete';
