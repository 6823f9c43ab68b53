import type { Report } from '../../operations/events.ts';
import type { ResultOf } from '../../operations/operations.ts';
import type { Box } from '../../box/box.ts';
import type { IsSecret } from '../../ingest/source/image-source.ts';
import type { House } from '../base/engine.ts';
import type { Audit } from '../audit/audit.ts';
import type { Guard } from '../watch/monitor.ts';
import type { JobDesk } from '../jobs/job-service.ts';
import type { Tokens } from '../secrets/tokens.ts';
import type { SessionKeeper } from '../sessions/session-supervisor.ts';
import type { ThroughputRecorder } from '../watch/throughput.ts';
import type { OverlayOfSession, WhyWaiting } from '../sessions/run-session.ts';
import type { FilesWork, HostWork, RunApart } from '../base/call.ts';

/** What handlers work on. */
export interface Desk {
  /** Rejects where there is no store. */
  house(): Promise<House>;
  /** Makes the store that `house` would open. */
  makeStore(): Promise<ResultOf<'store/create'>>;
  /** Rejects where no service runs. */
  sessions(): Promise<SessionKeeper>;
  /** Rejects where no service runs. */
  jobs(): Promise<JobDesk>;
  service(): Promise<ResultOf<'service/show'>>;
  /** Rejects where no service runs. */
  throughput(): Promise<ThroughputRecorder>;
  /** Rejects where no service runs. */
  audit(): Promise<Audit>;
  /** Rejects where no service runs. */
  guard(): Promise<Guard>;
  support(): Promise<SupportFacts>;
  /** The service's; undefined: none runs. */
  readonly box: Box | undefined;
  /** Rejects where no service runs, or none that listens for other hosts. */
  tokens(): Promise<Tokens>;
  /** Rejects where no service runs. */
  follow(report: Report, signal: AbortSignal): Promise<void>;
  readonly whyWaiting: WhyWaiting;
  readonly overlay: OverlayOfSession;
  /** Whether a file must not be read on behalf of a caller. */
  readonly isSecret: IsSecret;
  /** What is set on the machine itself. */
  readonly host: HostWork;
  /** Rejects where no service runs. */
  readonly files: FilesWork;
  /** Runs what takes long, apart from what guests wait for; undefined: no guest waits here. */
  readonly apart: RunApart | undefined;
}

/** What only the service knows of itself. */
export interface SupportFacts {
  /** The protocol's version. */
  readonly protocol: string;
  readonly settings: object;
  /** Secrets that must not be in what is given away, by their value. */
  readonly secrets: readonly string[];
}
