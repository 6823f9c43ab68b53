import type { Command } from '../../base/command.ts';
import { argument, option } from '../../base/rows.ts';
import { HOST_KEY, recognition, TLS_FILES } from '../../options/host-key.ts';
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
    HOST_KEY,
    option(
      'sockets',
      'DIR',
      'directory on the hypervisor for the sockets of backups; default: the usual one',
      { files: false },
    ),
    ...TLS_FILES,
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
    const known = await recognition(uri, input, context);
    const [sockets, scratch] = [input.text('sockets'), input.text('scratch')];
    const request = { hypervisor, uri, sockets, scratch, ...known };
    const added = await context.call('hypervisor/add', request);
    context.output.result(added, () => addedText(added));
  },
};
