import type { FilesOperationName } from '../../operations/files-operations.ts';
import type { HostOperationName } from '../../operations/host-operations.ts';
import type { OperationName, RequestOf } from '../../operations/operations.ts';

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

/** A request of the protocol. */
export type Call = { [N in Asked]: { readonly name: N; readonly request: RequestOf<N> } }[Asked];
