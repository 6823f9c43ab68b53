import { askService } from '../client/service-client.ts';
import { sentSecret } from '../client/sent-secret.ts';
import { FILES_SOCKET, HOST_SOCKET } from '../client/service-socket.ts';
import { OperationFailure } from '../operations/base/failure.ts';
import {
  type FilesOperationName,
  type HostOperationName,
  namesOf,
  type OperationName,
  type RequestOf,
  type ResultOf,
} from '../operations/operations.ts';
import { SystemError } from '../sys/base/system-error.ts';
import { type CallOptions, type Handlers, handlersFor } from '../engine/base/call.ts';

/*
 * The service may neither configure the machine nor mount: it checks who asks, and passes permitted requests to small
 * services with root's rights.
 */
export const forwardedHost: Handlers<HostOperationName> = handlersFor(
  namesOf('hostd'),
  (...asked) => forward({ socket: HOST_SOCKET, unit: 'holdfast-hostd.socket' }, ...asked),
);

export const forwardedFiles: Handlers<FilesOperationName> = handlersFor(
  namesOf('filesd'),
  (...asked) => forward({ socket: FILES_SOCKET, unit: 'holdfast-filesd.socket' }, ...asked),
);

async function forward<N extends OperationName>(
  { socket, unit }: { readonly socket: string; readonly unit: string },
  name: N,
  request: RequestOf<N>,
  { given, report, signal }: CallOptions,
): Promise<ResultOf<N>> {
  const secret = given && sentSecret(given);
  try {
    const options = { secret, report, signal };
    return await askService(socket, name, request, options);
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    throw new OperationFailure(
      'unreachable',
      `the service with root's rights does not answer: systemctl start ${unit} (${cause.message})`,
    );
  }
}
