import type { SpaceGuard } from '../../space-guard.ts';
import type { LogLimits } from '../log/log-head.ts';
import type { PageLocations } from '../map/page-locations.ts';
import type { Unmapped } from '../log/unmapped.ts';
import type { LogParts } from '../log/log-parts.ts';

export interface CleanerOptions extends LogParts {
  readonly map: PageLocations;
  readonly unmapped: Unmapped;
  readonly space: SpaceGuard;
  readonly limits: Pick<LogLimits, 'deadMax'>;
  /** Called for a live slot that fails its seal. */
  readonly onDamage: (where: string, what: string) => void;
}
