import type { LogFiles } from '../segments/log-files.ts';
import type { LogHead } from './log-head.ts';
import type { Segments } from '../segments/segments.ts';

export interface LogParts {
  readonly log: LogFiles;
  readonly segments: Segments;
  readonly head: LogHead;
}
