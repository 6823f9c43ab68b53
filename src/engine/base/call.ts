import type {
  FilesOperationName,
  HostOperationName,
  OperationName,
  RequestOf,
  ResultOf,
} from '../../operations/operations.ts';
import type { GivenSecret, WorkOptions } from './engine.ts';
import type { UnixPeer } from '../../sys/net/unix-peer.ts';

export type RunApart = <N extends OperationName>(
  name: N,
  request: RequestOf<N>,
  options: CallOptions,
) => Promise<ResultOf<N>>;

export type HostWork = <N extends HostOperationName>(
  name: N,
  request: RequestOf<N>,
  options: Omit<CallOptions, 'secrets'>,
) => Promise<ResultOf<N>>;

/** `given` is the key of the recovery point's set. */
export type FilesWork = <N extends FilesOperationName>(
  name: N,
  request: RequestOf<N>,
  options: Omit<CallOptions, 'secrets'>,
) => Promise<ResultOf<N>>;

export interface CallOptions extends WorkOptions {
  /** What came with the request itself. */
  readonly given: GivenSecret | undefined;
  /** Which process asks; undefined: this one itself, or another host, which the audit log knows. */
  readonly who: UnixPeer | undefined;
}
