import { askService } from '../client/service-client.ts';
import { sentSecret } from '../client/sent-secret.ts';
import { ServiceFailure } from '../client/service-failure.ts';
import { FILES_SOCKET, HOST_SOCKET } from '../client/service-socket.ts';
import { OperationFailure } from '../engine/base/failures.ts';
import type { OperationName } from '../operations/operations.ts';
import { SystemError } from '../sys/base/system-error.ts';
import type { CallOptions, FilesWork, HostWork } from '../engine/base/call.ts';

/*
 * The service may neither configure the machine nor mount: it checks who asks, and passes permitted requests to small
 * services with root's rights.
 */
export const forwardedHost: HostWork = (name, request, options) =>
  forward({ socket: HOST_SOCKET, unit: 'holdfast-hostd.socket' }, name, request, options);

export const forwardedFiles: FilesWork = (name, request, options) =>
  forward({ socket: FILES_SOCKET, unit: 'holdfast-filesd.socket' }, name, request, options);

async function forward(
  { socket, unit }: { readonly socket: string; readonly unit: string },
  name: OperationName,
  request: unknown,
  { given, report, signal }: Omit<CallOptions, 'secrets'>,
): Promise<never> {
  const secret = given && sentSecret(given);
  try {
    const options = { secret, report, signal };
    return (await askService(socket, name, request as never, options)) as never;
  } catch (cause) {
    if (cause instanceof ServiceFailure) {
      throw new OperationFailure(cause.kind, cause.message);
    }
    if (!(cause instanceof SystemError)) throw cause;
    throw new OperationFailure(
      'unreachable',
      `the service with root's rights does not answer: systemctl start ${unit} (${cause.message})`,
    );
  }
}
