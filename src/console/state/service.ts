import type { FailureKind } from '../../operations/failure.ts';
import type { FilesOperationName } from '../../operations/files-operations.ts';
import type { HostOperationName } from '../../operations/host-operations.ts';
import type { OperationName, RequestOf, ResultOf } from '../../operations/operations.ts';
import type { Report } from '../../operations/results.ts';

/* What the service is asked, what it answers, and what is known by that. */

export type Asked =
  | HostOperationName
  | FilesOperationName
  | Extract<
      OperationName,
      | 'service/show'
      | 'service/follow'
      | 'backup/page'
      | 'set/list'
      | 'set/create'
      | 'store/create'
      | 'session/list'
      | 'session/show'
      | 'session/log'
      | 'session/start'
      | 'session/resume'
      | 'session/stop'
      | 'session/discard'
      | 'session/keep'
      | 'alarm/list'
      | 'alarm/acknowledge'
      | 'lockdown/show'
      | 'lockdown/on'
      | 'lockdown/off'
      | 'store/usage'
      | 'service/throughput'
      | 'export/list'
      | 'job/list'
      | 'job/show'
      | 'job/log'
      | 'job/create'
      | 'job/cancel'
      | 'job/unlock'
      | 'schedule/list'
      | 'schedule/create'
      | 'schedule/remove'
    >;

/** `session` of `session/list`. */
export type Noun = Asked extends infer N
  ? N extends `${infer Word}/${string}`
    ? Word
    : never
  : never;

/** A request of the protocol. */
export type CallOf<N extends Asked> = { readonly name: N; readonly request: RequestOf<N> };
export type Call = { [N in Asked]: CallOf<N> }[Asked];

/** A request with its answer. */
export type AnswerOf<N extends Asked> = CallOf<N> & { readonly result: ResultOf<N> };
export type Answer = { [N in Asked]: AnswerOf<N> }[Asked];

/** What comes while something is under way. */
export type Reported = Parameters<Report>[0];

/** `gone`: nothing answers; otherwise what the service said. */
export type Failure =
  | { readonly kind: 'gone'; readonly message: string }
  | {
      readonly kind: FailureKind;
      readonly message: string;
      readonly needsKeyOf: string | undefined;
    };

/** What the service said about something. `unknown` is never shown as "none". */
export type Known<T> =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'known'; readonly value: T; readonly atMs: number }
  | { readonly kind: 'refused'; readonly message: string };

export const UNKNOWN = { kind: 'unknown' } as const;

export function valueOf<T>(it: Known<T>): T | undefined {
  return it.kind === 'known' ? it.value : undefined;
}
