import {
  askRootService,
  FILES_SERVICE,
  HOST_SERVICE,
  type RootService,
} from '../client/root-services.ts';
import { sentSecret } from '../client/sent-secret.ts';
import {
  type FilesOperationName,
  type HostOperationName,
  namesOf,
  type OperationName,
  type RequestOf,
  type ResultOf,
} from '../operations/operations.ts';
import { type CallOptions, type Handlers, handlersFor } from '../engine/base/call.ts';

/*
 * The service may neither configure the machine nor mount: it checks who asks, and passes permitted requests to small
 * services with root's rights.
 */
export const forwardedHost: Handlers<HostOperationName> = handlersFor(
  namesOf('hostd'),
  (...asked) => forward(HOST_SERVICE, ...asked),
);

export const forwardedFiles: Handlers<FilesOperationName> = handlersFor(
  namesOf('filesd'),
  (...asked) => forward(FILES_SERVICE, ...asked),
);

async function forward<N extends OperationName>(
  service: RootService,
  name: N,
  request: RequestOf<N>,
  { given, report, signal }: CallOptions,
): Promise<ResultOf<N>> {
  const secret = given && sentSecret(given);
  return await askRootService(service, name, request, { secret, report, signal });
}
