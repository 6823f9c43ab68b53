import type { Finding } from '../../hypervisors/base/finding.ts';

const isBlocker = ({ level }: Finding): boolean => level === 'blocker';

/** What stands in the way; empty: nothing does. */
export function blockersIn(findings: readonly Finding[]): readonly Finding[] {
  return findings.filter(isBlocker);
}

/** What was found, and what a person can do about it. */
export function findingText({ disk, message, remedy }: Finding): string {
  const found = disk === undefined ? message : `disk ${disk}: ${message}`;
  return remedy === undefined ? found : `${found}: ${remedy}`;
}
