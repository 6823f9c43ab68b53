/*
 * Features that a store may have and that not every release knows. The store's own record lists them, so that a
 * release that lacks one says so instead of misreading the store. What each changes: features.md.
 */
export const FEATURES = {
  'checked-records': { readers: true, writers: true },
  'point-chain': { readers: false, writers: true },
  'sealed-overlay': { readers: true, writers: true },
  'placed-session': { readers: true, writers: true },
  swept: { readers: false, writers: true, isFromUse: true },
  'copied-packs': { readers: true, writers: true, isFromUse: true },
  'kept-points': { readers: false, writers: true, isFromUse: true },
} as const satisfies Readonly<Record<string, FeatureNeeds>>;

export type Feature = keyof typeof FEATURES;

interface FeatureNeeds {
  /** Whether a release that only reads the store must know it. */
  readonly readers: boolean;
  readonly writers: boolean;
  /** Whether a store gets it when it is used first; else new stores have it, and older ones by an upgrade. */
  readonly isFromUse?: true;
}

/** Names of features, including ones that this release does not know. */
export interface Needs {
  readonly read: readonly string[];
  readonly write: readonly string[];
}

export const ALL_FEATURES = Object.keys(FEATURES) as readonly Feature[];

/** Features that a store gets when it is used in a certain way for the first time. */
export type FeatureFromUse = {
  [F in Feature]: (typeof FEATURES)[F] extends { readonly isFromUse: true } ? F : never;
}[Feature];

/** Features that all new stores have. */
export const NEW_STORE_FEATURES = ALL_FEATURES.filter(
  (name): name is Exclude<Feature, FeatureFromUse> => !('isFromUse' in FEATURES[name]),
);

export function needsOf(features: readonly Feature[]): Needs {
  return {
    read: features.filter((name) => FEATURES[name].readers),
    write: features.filter((name) => FEATURES[name].writers),
  };
}

export const isFeature = (name: string): name is Feature => Object.hasOwn(FEATURES, name);
