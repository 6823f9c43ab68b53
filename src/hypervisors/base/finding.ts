/**
 * What an examination of a machine or a host found, before anything is changed. `blocker`: a backup or a run cannot
 * begin; `warning`: it can, with less than was asked for; `note`: worth knowing.
 */
export type Finding = Found & (Trouble | Note);

interface Found {
  readonly code: FindingCode;
  /** The disk that it is about; undefined: the machine, or the host. */
  readonly disk?: string | undefined;
  /** What was found. */
  readonly message: string;
}

interface Trouble {
  readonly level: 'blocker' | 'warning';
  /** What to do about it; a command where there is one. */
  readonly remedy: string;
}

interface Note {
  readonly level: 'note';
  readonly remedy?: string | undefined;
}

export type FindingCode =
  | 'reachable'
  | 'identity'
  | 'rights'
  | 'version'
  | 'clock'
  | 'data-path'
  | 'power'
  | 'agent'
  | 'tracking'
  | 'snapshots'
  | 'foreign-tracking'
  | 'disk-format'
  | 'disk-excluded'
  | 'busy'
  | 'scratch-space'
  | 'firmware'
  | 'tpm'
  | 'name'
  | 'network'
  | 'target-space'
  | 'source-machine'
  | 'machine-id'
  | 'move'
  | 'recovery-point'
  | 'capacity'
  | 'boot-disk'
  | 'store-feature'
  | 'overlay-space';
