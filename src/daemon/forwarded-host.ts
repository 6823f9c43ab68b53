import { askService } from '../client/service-client.ts';
import { ServiceFailure } from '../client/service-failure.ts';
import { HOST_SOCKET } from '../client/service-socket.ts';
import { OperationFailure } from '../control/failures.ts';
import type { HostWork } from '../control/handlers.ts';
import type { GivenSecret } from '../control/house.ts';
import type { SentSecret } from '../protocol/requests.ts';
import { SystemError } from '../sys/system-error.ts';

/** The service may not set up the machine: it knows who asks, and hands on what they may ask. */
export const forwardedHost: HostWork = async (name, request, { given, report, signal }) => {
  const secret = given && sent(given);
  try {
    return (await askService(HOST_SOCKET, name, request as never, {
      secret,
      report,
      signal,
    })) as never;
  } catch (cause) {
    if (cause instanceof ServiceFailure) {
      throw new OperationFailure(cause.kind, cause.message, false);
    }
    if (!(cause instanceof SystemError)) throw cause;
    throw new OperationFailure(
      'failed',
      `what has root's rights does not answer: systemctl start holdfast-hostd.socket (${cause.message})`,
      false,
    );
  }
};

function sent(secret: GivenSecret): SentSecret {
  if (secret.kind === 'recovery-key') return secret;
  return { kind: secret.kind, base64: Buffer.from(secret.passphrase).toString('base64') };
}
