import { resolve } from 'node:path/posix';
import { askOpenly } from '../../../sys/terminal/terminal.ts';
import { UsageError } from '../../base/command-errors.ts';
import type { Command, Context } from '../../base/command.ts';
import { Interrupted } from '../../base/interrupted.ts';
import { argument, option } from '../../base/rows.ts';
import { addedText } from '../../render/hypervisor.ts';

export const command: Command = {
  summary: 'Add a hypervisor',
  about: [
    'URI is qemu:///system for the libvirt of this host, qemu+ssh://ACCOUNT@HOST/system for one on another ' +
      'host, or qemu+tls://HOST/system with a certificate. For SSH the ' +
      'command creates a key for this hypervisor alone, and prints the line for authorized_keys of the ' +
      'account there, which allows only what backups need. It shows the host key and pins it: only a host ' +
      'with that key counts as this hypervisor afterwards; for TLS it does the same with the certificate, ' +
      'unless --ca names the authority. It changes nothing on the hypervisor itself.',
    'For machines of plain QEMU on this host, without libvirt, URI is qemu+qmp:// and the directory of their ' +
      'monitors: each socket NAME.qmp in it is the machine NAME.',
  ],
  args: [
    argument('NAME', 'its name from now on'),
    argument('URI', 'its address, without a password'),
  ],
  options: [
    option(
      'host-key',
      'FINGERPRINT',
      'the fingerprint of its host key (as "ssh-keygen -lf" shows it there) or certificate (as "openssl x509 ' +
        '-fingerprint -sha256" does); default: the command shows it ' +
        'and asks',
    ),
    option(
      'sockets',
      'DIR',
      'directory on the hypervisor for the sockets of backups; default: the usual one',
      { files: false },
    ),
    option('ca', 'FILE', 'certificate of the authority that vouches for the TLS server, in PEM', {
      files: true,
    }),
    option(
      'client-certificate',
      'FILE',
      'our certificate for the TLS server, in PEM; it is copied',
      {
        files: true,
      },
    ),
    option(
      'client-key',
      'FILE',
      'the private key of that certificate, in PEM; it is copied. Only its owner may be able to read it',
      { files: true },
    ),
    option(
      'scratch',
      'DIR',
      'directory on the hypervisor for data that guests overwrite during a backup; default: beside the ' +
        'image of each disk',
      { files: false },
    ),
  ],
  examples: [
    'hypervisor add local qemu:///system',
    'hypervisor add kvm1 qemu+ssh://holdfast@kvm1.example.net/system',
    'hypervisor add kvm2 qemu+tls://kvm2/system --ca ca.pem --client-certificate own.pem --client-key own-key.pem',
    'hypervisor add lab qemu+qmp:///run/qemu',
  ],
  async run(input, context) {
    const [hypervisor = '', uri = ''] = input.args;
    const path = (name: string): string | undefined => {
      const given = input.text(name);
      return given === undefined ? undefined : resolve(given);
    };
    const ca = path('ca');
    const isKnown = input.text('host-key') !== undefined || ca !== undefined;
    const hostKey = isKnown ? input.text('host-key') : await confirmedKey(uri, context);
    const [sockets, scratch] = [input.text('sockets'), input.text('scratch')];
    const [clientCertificate, clientKey] = [path('client-certificate'), path('client-key')];
    const certificates = { ca, clientCertificate, clientKey };
    const request = { hypervisor, uri, hostKey, sockets, scratch, ...certificates };
    const added = await context.call('hypervisor/add', request);
    context.output.result(added, () => addedText(added));
  },
};

/** The fingerprint that a person has compared; undefined: the way to it needs none. Throws UsageError, Interrupted. */
async function confirmedKey(
  uri: string,
  { call, output }: Pick<Context, 'call' | 'output'>,
): Promise<string | undefined> {
  const { keys } = await call('hypervisor/identify', { uri });
  const [key] = keys;
  if (!key) return undefined;
  const shown = `${key.fingerprint} (${key.type})`;
  const isCertificate = key.type === 'certificate';
  const file = `/etc/ssh/ssh_host_${FILES[key.type] ?? '*'}_key.pub`;
  const look = isCertificate
    ? 'openssl x509 -noout -fingerprint -sha256 -in /etc/pki/libvirt/servercert.pem'
    : `ssh-keygen -lf ${file}`;
  const how = `on the hypervisor itself: ${look}`;
  const answer = output.json
    ? 'no terminal'
    : (output.say(`The host key there is ${shown}. To compare, ${how}`),
      askOpenly('Is it the same? (yes/no) '));
  if (answer === 'interrupted') throw new Interrupted('interrupted');
  if (answer === 'no terminal') {
    const advice = `compare it (${how}), and give it with --host-key`;
    throw new UsageError(`--host-key is missing: the host key there is ${shown}; ${advice}`);
  }
  if (Buffer.from(answer).toString('utf8').trim() === 'yes') return key.fingerprint;
  throw new UsageError('nothing was added: the host key was not confirmed with "yes"');
}

const FILES: Readonly<Record<string, string>> = {
  'ssh-ed25519': 'ed25519',
  'ecdsa-sha2-nistp256': 'ecdsa',
  'ssh-rsa': 'rsa',
};
