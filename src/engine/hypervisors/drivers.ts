import type { HypervisorDriver } from './hypervisors.ts';

/** Those of this release. */
export const DRIVERS: readonly HypervisorDriver[] = [];
