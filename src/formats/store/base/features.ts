/*
 * Features that a store may have and that not every release knows. The store's own record lists them, so that a
 * release that lacks one says so instead of misreading the store. What each changes: features.md.
 */
export const FEATURES = {
  'checked-records': { readers: true, writers: true },
  'point-chain': { readers: false, writers: true },
  'sealed-overlay': { readers: true, writers: true },
  'placed-session': { readers: true, writers: true },
} as const satisfies Readonly<Record<string, FeatureNeeds>>;

export type Feature = keyof typeof FEATURES;

interface FeatureNeeds {
  /** Whether a release that only reads the store must know it. */
  readonly readers: boolean;
  readonly writers: boolean;
}

/** Names of features, including ones that this release does not know. */
export interface Needs {
  readonly read: readonly string[];
  readonly write: readonly string[];
}

export const ALL_FEATURES = Object.keys(FEATURES) as readonly Feature[];

export function needsOf(features: readonly Feature[]): Needs {
  return {
    read: features.filter((name) => FEATURES[name].readers),
    write: features.filter((name) => FEATURES[name].writers),
  };
}

export const isFeature = (name: string): name is Feature => Object.hasOwn(FEATURES, name);
