import { resolve } from 'node:path/posix';
import { comparison } from '../../client/host-key.ts';
import { askOpenly } from '../../sys/terminal/terminal.ts';
import { UsageError } from '../base/command-errors.ts';
import type { Context, Input } from '../base/command.ts';
import { Interrupted } from '../base/interrupted.ts';
import { option } from '../base/rows.ts';

/* By what a hypervisor is recognized, and we by it: asked for where one is added. */

export const HOST_KEY = option(
  'host-key',
  'FINGERPRINT',
  'the fingerprint of its host key (as "ssh-keygen -lf" shows it there) or certificate (as "openssl x509 ' +
    '-fingerprint -sha256" does); default: the command shows it ' +
    'and asks',
);

export const TLS_FILES = [
  option('ca', 'FILE', 'certificate of the authority that vouches for the TLS server, in PEM', {
    files: true,
  }),
  option('client-certificate', 'FILE', 'our certificate for the TLS server, in PEM; it is copied', {
    files: true,
  }),
  option(
    'client-key',
    'FILE',
    'the private key of that certificate, in PEM; it is copied. Only its owner may be able to read it',
    { files: true },
  ),
];

/** What is given, or confirmed by a person. Files are named as the service, on this host, finds them. */
export async function recognition(
  uri: string,
  input: Pick<Input, 'text'>,
  context: Pick<Context, 'call' | 'output'>,
) {
  const path = (name: string): string | undefined => {
    const given = input.text(name);
    return given === undefined ? undefined : resolve(given);
  };
  const ca = path('ca');
  const given = input.text('host-key');
  const isKnown = given !== undefined || ca !== undefined;
  const hostKey = isKnown ? given : await confirmedKey(uri, context);
  return {
    ...{ hostKey, ca },
    clientCertificate: path('client-certificate'),
    clientKey: path('client-key'),
  };
}

/** The fingerprint that a person has compared; undefined: the way to it needs none. Throws UsageError, Interrupted. */
async function confirmedKey(
  uri: string,
  { call, output }: Pick<Context, 'call' | 'output'>,
): Promise<string | undefined> {
  const { keys } = await call('hypervisor/identify', { uri });
  const [key] = keys;
  if (!key) return undefined;
  const shown = `${key.fingerprint} (${key.type})`;
  const { what, command } = comparison(key);
  const how = `on the hypervisor itself: ${command}`;
  const answer = output.json
    ? 'no terminal'
    : (output.say(`The ${what} there is ${shown}. To compare, ${how}`),
      askOpenly('Is it the same? (yes/no) '));
  if (answer === 'interrupted') throw new Interrupted('interrupted');
  if (answer === 'no terminal') {
    const advice = `compare it (${how}), and give it with --host-key`;
    throw new UsageError(`--host-key is missing: the ${what} there is ${shown}; ${advice}`);
  }
  if (Buffer.from(answer).toString('utf8').trim() === 'yes') return key.fingerprint;
  throw new UsageError(`nothing was added: the ${what} was not confirmed with "yes"`);
}
