import type { Report } from '../../operations/events.ts';
import type { ResultOf } from '../../operations/operations.ts';
import type { Box } from '../../box/box.ts';
import type { IsSecret } from '../../ingest/source/image-source.ts';
import type { Handlers } from '../base/call.ts';
import type { Engine } from '../base/engine.ts';
import type { Hypervisors } from '../hypervisors/hypervisors.ts';
import type { Audit } from '../audit/audit.ts';
import type { Monitor } from '../watch/monitor.ts';
import type { JobService } from '../jobs/job-service.ts';
import type { Passkeys } from '../secrets/passkeys.ts';
import type { Tokens } from '../secrets/tokens.ts';
import type { SessionSupervisor } from '../sessions/session-supervisor.ts';
import type { ThroughputRecorder } from '../watch/throughput.ts';
import type { RunningHere, WhyWaiting } from '../sessions/shown-sessions.ts';

/** What operations on a store work on: in the service, in a worker, or in a command line that finds no service. */
export interface StoreContext {
  /** Rejects if there is no store. */
  engine(): Promise<Engine>;
  hypervisors(): Promise<Hypervisors>;
  /** Whether a file must not be read on behalf of a caller. */
  readonly isSecret: IsSecret;
  /** Undefined: this is another process. */
  readonly service: ServiceContext | undefined;
}

/** What only the service has. Promises reject where it has no store yet. */
export interface ServiceContext extends ServiceFacts, RunningHere {
  engine(): Promise<Engine>;
  /** Makes the store that `engine` would open. */
  makeStore(): Promise<ResultOf<'store/create'>>;
  sessions(): Promise<SessionSupervisor>;
  jobs(): Promise<JobService>;
  throughput(): Promise<ThroughputRecorder>;
  /** A machine on a hypervisor is withdrawn first. */
  readonly keep: Handlers['session/keep'];
  audit(): Promise<Audit>;
  monitor(): Promise<Monitor>;
  show(): Promise<ResultOf<'service/show'>>;
  readonly whyWaiting: WhyWaiting;
}

/** The part of it that does not depend on the store. */
export interface ServiceFacts {
  readonly box: Box;
  support(): Promise<SupportFacts>;
  /** Rejects where it does not listen for other hosts. */
  tokens(): Promise<Tokens>;
  readonly passkeys: Passkeys;
  follow(report: Report, signal: AbortSignal): Promise<void>;
}

/** Facts that only the service knows. */
export interface SupportFacts {
  /** The protocol's version. */
  readonly protocol: string;
  readonly settings: object;
  /** Secrets, by their value, that must not leave the host. */
  readonly secrets: readonly string[];
}
