import type { Of } from '../lib/schema.ts';
import type {
  copiedFiles,
  openedVolumes,
  openFilesSummary,
  volumeSummary,
} from './files-operations.ts';
/*
 * What Holdfast answers with, as values that can be JSON: the objects of `--json`. Fields are added, never
 * renamed. Sizes are bytes, times ISO 8601 in UTC.
 */

export interface StoreSummary {
  readonly store: string;
  readonly id: string;
}

export interface StoreSpace {
  /** What the service may still take. */
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** The machine that the service runs on. */
export interface HostFacts {
  readonly name: string;
  /** Those that others may reach it at. */
  readonly addresses: readonly string[];
}

/** The record of a recovery point that cannot be read. */
export interface DamagedPoint {
  readonly path: string;
  readonly reason: string;
}

export interface SetSummary {
  readonly set: string;
  readonly created: string;
  readonly encrypted: boolean;
  /** Why nothing is read from it or written to it: it is not as this box knows it. */
  readonly problem: string | null;
}

export interface PointSummary {
  readonly point: string;
  readonly set: string;
  readonly machine: string;
  readonly created: string;
  readonly origin: 'backup' | 'session';
  readonly parent: string | null;
  readonly disks: readonly {
    readonly name: string;
    readonly size: number;
    readonly source: string;
  }[];
  readonly readBytes: number;
  readonly storedBytes: number;
}

/** A backup's, with what it read of each disk, and why. */
export interface MadePoint extends PointSummary {
  readonly scopes: readonly {
    readonly disk: string;
    readonly scope: 'changes' | 'all';
    readonly reason: string;
  }[];
  readonly damage: readonly Damage[];
}

/** `point`: what the session's disks held. */
export interface KeptSession {
  readonly session: string;
  readonly point: string;
  readonly damage: readonly Damage[];
}

export interface RebuiltIndex {
  readonly rebuilt: boolean;
  readonly damage: readonly Damage[];
}

/** What is missing or damaged in the store: a file, or a disk of a recovery point, and what is wrong with it. */
export interface Damage {
  readonly where: string;
  readonly what: string;
}

export interface SessionSummary {
  readonly session: string;
  readonly set: string;
  readonly point: string;
  readonly machine: string;
  readonly created: string;
  /** `running`: a process serves it; otherwise what has to be done next: `ready` waits for people. */
  readonly state: 'running' | 'preparing' | 'ready' | 'keeping' | 'cleaning';
  readonly holder: string | null;
  readonly takenBytes: number;
  readonly listen: string;
  /** Where it is found beside that: its directory over NFS, its disks on the service's NBD server. */
  readonly addresses: readonly string[];
  /** Why the service cannot run it yet, though it is to. */
  readonly waits: string | null;
  /** Whether this box knows its record: it is not resumed or kept otherwise. */
  readonly adopted: boolean;
}

export interface ShownSession extends SessionSummary {
  /** Text to paste on hypervisors to attach its disks; null: it does not run. */
  readonly attach: ReadySession | null;
  /** What its sealed overlays say; null: it has none, or the process that was asked does not run it. */
  readonly overlay: OverlayFigures | null;
}

/** Since a session was started or resumed last. */
export interface OverlayFigures {
  /** Bytes of pages as they are now: what the overlays would take if nothing had been written twice. */
  readonly liveBytes: number;
  /** What guests wrote, in whole pages. */
  readonly writtenBytes: number;
  /** What was copied to give back space. */
  readonly copiedBytes: number;
}

/** Bytes of data. */
export interface Traffic {
  readonly readBytes: number;
  readonly writtenBytes: number;
}

/** Something that a running session shows; with what all its clients have read and written. */
export interface SessionExport extends Traffic {
  readonly session: string;
  readonly uri: string;
  /** Connected now, with what each has read and written. */
  readonly clients: readonly ExportClient[];
}

export interface ExportClient extends Traffic {
  /** Null: on this machine, over a unix socket. */
  readonly address: string | null;
  readonly since: string;
}

/** Bytes a second: of guests, and what backups read. */
export interface ThroughputRates extends Traffic {
  readonly ingestBytes: number;
}

export interface Throughput {
  /** In the last seconds. */
  readonly now: ThroughputRates;
  /** The last hour, the oldest first; each is the mean of so many `seconds`. */
  readonly points: readonly ThroughputRates[];
  readonly seconds: number;
}

export interface StoreUsage {
  readonly space: StoreSpace;
  readonly growth: {
    /** Since when it has been watched; null: not yet. */
    readonly since: string | null;
    /** Of the last days; null: it was not watched for long enough to say. */
    readonly bytesPerDay: number | null;
    /** If it goes on like that; null: it does not fill, or nobody can say. */
    readonly fullAt: string | null;
  };
  /** What the newest recovery points read of their machines, and what of it was new and stored, compressed. */
  readonly saving: {
    readonly points: number;
    readonly readBytes: number;
    readonly storedBytes: number;
  };
}

export interface ReadyMount {
  readonly event: 'ready';
  readonly directory: string;
  readonly sets: readonly string[];
}

export interface ReadySession {
  readonly event: 'ready';
  readonly session: string;
  readonly point: string;
  readonly exports: readonly {
    readonly disk: string;
    readonly size: number;
    readonly uri: string;
    /** Left out: 512. */
    readonly sectorSize?: number;
  }[];
  /** For a shell. */
  readonly qemu: string;
  readonly libvirt: string;
  readonly nfs?: NfsResult;
}

/** A session's directory as hosts find it. */
export interface NfsResult {
  /** Where it listens everywhere, an address that its clients can reach. */
  readonly host: string;
  readonly ports: { readonly nfs: number; readonly mount: number; readonly portmap: number };
  /** What is mounted, and the session's directory in it. */
  readonly export: string;
  readonly directory: string;
  readonly files: readonly string[];
  /** What to do on a host of each kind. */
  readonly snippets: Readonly<
    Record<'linux' | 'libvirt' | 'esxi' | 'proxmox' | 'xcpng' | 'qemu', string>
  >;
}

/** A volume in a machine's disk. */
export type VolumeSummary = Of<typeof volumeSummary>;

/** Something in a volume. */
export interface FileEntry {
  readonly event: 'entry';
  readonly volume: string;
  /** Without a leading `/`. */
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'link' | 'other';
  readonly size: number;
  /** As a number: 0o755 is 493. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly modified: string;
  /** Of a link. */
  readonly target?: string;
}

export type CopiedFiles = Of<typeof copiedFiles>;
export type OpenedVolumes = Of<typeof openedVolumes>;
export type OpenFilesSummary = Of<typeof openFilesSummary>;

export interface CheckResult {
  readonly packs: number;
  readonly frames: number;
  readonly bytes: number;
  readonly points: number;
  /** Sets whose manifests could not be looked at, because their key was not given. */
  readonly locked: readonly string[];
  /** Those of them for which a key was given, where it opens no set at all. */
  readonly wrongKey: readonly string[];
  readonly problems: readonly Damage[];
  /** Sessions of which something that their guests wrote lies in plain text, by an older version. */
  readonly plainSessions: readonly string[];
  /** Files and directories that are not Holdfast's: no damage, but nothing uses them. At most 100. */
  readonly strays: readonly string[];
}

export interface JobSummary {
  readonly job: string;
  readonly kind: 'backup' | 'check' | 'keep' | 'restore';
  readonly state: 'waiting' | 'running' | 'done' | 'failed' | 'canceled';
  readonly schedule: string | null;
  readonly created: string;
  readonly started: string | null;
  readonly ended: string | null;
  /** Why it waits, or has failed. */
  readonly reason: string | null;
  /** While it waits after a failure: not before. */
  readonly notBefore: string | null;
  readonly failures: number;
  /** The set whose key it waits for. */
  readonly needsKeyOf: string | null;
  /** Whether this box knows it: it does not run otherwise. */
  readonly adopted: boolean;
  readonly request: Readonly<Record<string, unknown>>;
  readonly result: Readonly<Record<string, unknown>> | null;
  readonly progress: {
    readonly phase: string;
    readonly position: number;
    readonly total: number;
  } | null;
}

export interface ScheduleSummary {
  readonly schedule: string;
  readonly at: string;
  readonly kind: JobSummary['kind'];
  readonly request: Readonly<Record<string, unknown>>;
  readonly created: string;
  /** Whether this box knows it: it makes no jobs otherwise. */
  readonly adopted: boolean;
  /** Null: never again. */
  readonly next: string | null;
  /** Null: none of its jobs that are still known has ended. */
  readonly last: ScheduleOutcome | null;
}

/** How the newest of its jobs that has ended did so. */
export interface ScheduleOutcome {
  readonly job: string;
  readonly state: 'done' | 'failed' | 'canceled';
  readonly ended: string;
  /** Why it has failed. */
  readonly reason: string | null;
}

/** Something that needs somebody, or needed. */
export interface AlarmSummary {
  readonly alarm: string;
  readonly kind: string;
  readonly level: 'warning' | 'critical';
  /** The schedule, job, session, or what else of its kind it is about. */
  readonly about: string | null;
  readonly message: string;
  /** How often it has happened since it was raised. */
  readonly times: number;
  readonly raised: string;
  readonly changed: string;
  readonly acknowledged: { readonly time: string; readonly uid: number } | null;
  /** Null: it stands. */
  readonly ended: string | null;
}

/** How far long work has come, in bytes. */
export interface Progress {
  readonly event: 'progress';
  readonly phase: string;
  readonly position: number;
  readonly total: number;
  readonly readBytes?: number;
  readonly storedBytes?: number;
}

/** Something that a person wants to know meanwhile. */
export interface Notice {
  readonly event: 'notice';
  readonly message: string;
}

/** Something has happened to a session or a job, or is wrong. */
export type Change =
  | {
      readonly event: 'session';
      readonly session: string;
      readonly what: 'started' | 'resumed' | 'stopped' | 'waits' | 'notice';
      /** Why it waits, or what there is to know. */
      readonly message: string | null;
    }
  | {
      readonly event: 'job';
      readonly job: string;
      readonly state: JobSummary['state'];
      readonly reason: string | null;
    }
  | {
      readonly event: 'alarm';
      readonly message: string;
      readonly alarm: string;
      readonly what: 'raised' | 'again' | 'ended' | 'acknowledged';
      readonly level: AlarmSummary['level'];
    };

export type Report = (event: Progress | Notice | Change) => void;
