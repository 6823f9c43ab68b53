import { OperationFailure } from '../operations/base/failure.ts';
import type { OperationName, RequestOf, ResultOf } from '../operations/operations.ts';
import { SystemError } from '../sys/base/system-error.ts';
import { type AskOptions, askService } from './service-client.ts';

/* The small services with root's rights, which the service asks for what it may not do itself. */

export interface RootService {
  readonly socket: string;
  /** The unit of systemd that listens there. */
  readonly unit: string;
}

export const HOST_SERVICE: RootService = {
  socket: '/run/holdfast-host/hostd.sock',
  unit: 'holdfast-hostd.socket',
};
/** Mounts volumes. */
export const FILES_SERVICE: RootService = {
  socket: '/run/holdfast-files/filesd.sock',
  unit: 'holdfast-filesd.socket',
};

/** Rejects OperationFailure; if the service does not answer, with what starts it. */
export async function askRootService<N extends OperationName>(
  { socket, unit }: RootService,
  name: N,
  request: RequestOf<N>,
  options: AskOptions,
): Promise<ResultOf<N>> {
  try {
    return await askService(socket, name, request, options);
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    throw new OperationFailure(
      'unreachable',
      `the service with root's rights does not answer: systemctl start ${unit} (${cause.message})`,
    );
  }
}
