import type { Place } from '../packs/trust.ts';

/** The root of a tree that is needed. */
export interface Root {
  /** The domain whose keys seal the tree, in hexadecimal digits. */
  readonly domain: string;
  readonly place: Place;
  /** What needs it, for people. */
  readonly where: string;
}

/** A reason to remove nothing of a domain: not all that it needs is known. */
export interface Obstacle {
  readonly domain: string;
  readonly where: string;
  readonly what: string;
  /** A pack of nodes without a usable list: the key of the domain can make one. */
  readonly unlisted?: number;
}
