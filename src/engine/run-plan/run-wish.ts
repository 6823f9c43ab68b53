import type { OldMachine, WritesTo } from '../../formats/store/sessions/placement.ts';

/** What a person, or a script, asks of a run. Undefined: the default, which follows from the point and the host. */
export interface RunWish {
  /** Default: the machine's own. */
  readonly name: string | undefined;
  /** The pool to move to, and of the writes that are kept there; default: where the machine came from. */
  readonly pool: string | undefined;
  /** By the name of a network that the machine was in, or the MAC of a card; null: that is not connected. */
  readonly networks: Readonly<Record<string, string | null>>;
  /** No card is connected. */
  readonly isIsolated: boolean;
  readonly powerOn: boolean;
  /** Where what its guest writes is kept. */
  readonly writes: WritesTo;
  /** `auto`: at once, or after `migrateAfter`; `later`: when a person says so; `none`: it is not to move at all. */
  readonly migrate: 'auto' | 'heartbeat' | 'later' | 'none';
  /** In seconds. */
  readonly migrateAfter: number | undefined;
  /** What becomes of the machine whose place it takes; undefined: it takes the place of none. */
  readonly replace: OldMachine | undefined;
}
