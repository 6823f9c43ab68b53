import { backupsConform } from './backups.ts';
import { changesConform } from './changes.ts';
import { checksConform } from './checks.ts';
import { interruptionsConform } from './interruptions.ts';
import { livesConform } from './lives.ts';
import { listsConform } from './lists.ts';
import type { SuiteOptions, Test, TestHost } from './rig.ts';

/** What every driver promises. `open` gives a fresh host. */
export function hypervisorConforms(
  test: Test,
  open: () => Promise<TestHost>,
  options: SuiteOptions = {},
): void {
  listsConform(test, open, options);
  checksConform(test, open, options);
  backupsConform(test, open, options);
  changesConform(test, open);
  interruptionsConform(test, open, options);
  livesConform(test, open, options);
}
