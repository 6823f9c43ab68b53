import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { test } from 'tap';
import { sshArguments, sshFailure } from '../../../src/hypervisors/base/ssh.ts';
import {
  parseHypervisorUri,
  type SshTarget,
  type TlsTarget,
} from '../../../src/hypervisors/base/target.ts';
import { LIBVIRT_SCHEMES, libvirtPlace } from '../../../src/hypervisors/libvirt/uri.ts';

const SSH: SshTarget = {
  ...{ account: 'holdfast', host: 'kvm1', port: 2222, alias: 'kvm1' },
  ...{ key: '/var/lib/holdfast/100% ours/key', knownHosts: '/var/lib/holdfast/100% ours/known' },
};

const TLS: TlsTarget = {
  ...{ host: 'kvm1', port: 16_514 },
  server: {
    ...{ kind: 'x509', name: 'kvm1', authority: undefined, fingerprint: undefined },
    own: undefined,
  },
};

function place(text: string, ssh?: SshTarget) {
  return libvirtPlace({ uri: parseHypervisorUri(text)!, ssh, tls: TLS });
}

test('libvirt is reached at its own socket, at a given one, or through SSH or TLS', async () => {
  deepEqual(place('qemu:///system'), {
    kind: 'socket',
    driver: 'qemu:///system',
    sockets: ['/run/libvirt/libvirt-sock', '/run/libvirt/virtqemud-sock'],
  });
  deepEqual(place('qemu+unix:///system?socket=/run/x'), {
    ...{ kind: 'socket', driver: 'qemu:///system', sockets: ['/run/x'] },
  });
  const session = place('qemu:///session');
  ok(session.kind === 'socket' && session.driver === 'qemu:///session');
  ok(session.sockets.includes(`/run/user/${process.getuid!()}/libvirt/libvirt-sock`));
  deepEqual(place('qemu+ssh://holdfast@kvm1:2222/system', SSH), {
    ...{ kind: 'ssh', driver: 'qemu:///system', ssh: SSH },
  });
  deepEqual(place('qemu+tls://kvm1/system'), {
    ...{ kind: 'tls', driver: 'qemu:///system', tls: TLS },
  });
  deepEqual(LIBVIRT_SCHEMES, ['qemu', 'qemu+unix', 'qemu+ssh', 'qemu+tls']);
});

test('an address that would lead elsewhere than it seems is refused in words', async () => {
  const refused: readonly (readonly [string, RegExp])[] = [
    ['xen:///system', /"xen" is not known/],
    ['qemu+tcp://kvm1/system', /"qemu\+tcp" is not known/],
    ['qemu:///', /it ends in \/system/],
    ['qemu:///embed', /it ends in \/system/],
    ['qemu://kvm1/system', /another host is reached through SSH/],
    ['qemu+unix://kvm1/system', /another host is reached through SSH/],
    ['qemu+ssh://a@kvm1/session', /only \/system/],
    ['qemu+ssh://a@kvm1/system?socket=/run/x', /the usual socket/],
    ['qemu+tls://kvm1/session', /only \/system/],
    ['qemu+tls://kvm1/system?socket=/run/x', /no socket is used/],
    ['qemu+tls://root@kvm1/system', /takes the place of an account/],
  ];
  for (const [text, words] of refused) {
    throws(() => place(text, SSH), { code: 'UNSUPPORTED', message: words }, text);
  }
  throws(() => place('qemu+ssh://a@kvm1/system'), /the account and the host are missing/);
});

test('ssh gets our key, the pinned host key and nothing of its user', async () => {
  const args = sshArguments(SSH, { options: ['-N'], command: 'run this' });
  deepEqual(args.slice(0, 7), ['-F', 'none', '-T', '-p', '2222', '-l', 'holdfast']);
  deepEqual(args.slice(-4), ['-N', '--', 'kvm1', 'run this']);
  for (const setting of [
    'BatchMode=yes',
    'StrictHostKeyChecking=yes',
    'HostKeyAlias=kvm1',
    'UserKnownHostsFile="/var/lib/holdfast/100%% ours/known"',
    'IdentityFile="/var/lib/holdfast/100%% ours/key"',
    'IdentitiesOnly=yes',
    ...['ControlMaster=no', 'ControlPath=none', 'ProxyCommand=none', 'ForwardAgent=no'],
  ]) {
    equal(args[args.indexOf(setting) - 1], '-o', setting);
  }
  for (const key of ['/a"b', '/$HOME/key', '/a\\b', '/a\nb']) {
    throws(() => sshArguments({ ...SSH, key }, {}), { code: 'UNSUPPORTED' }, key);
  }
});

test('no host and no account can be an option, a command or a path', async () => {
  for (const odd of [
    '-oProxyCommand=x',
    '$(x)',
    '`x`',
    'a b',
    'a;b',
    '~',
    '%h',
    '..',
    "a'b",
    'é',
    '',
  ]) {
    equal(parseHypervisorUri(`qemu+ssh://${odd}@kvm1/system`), undefined, `account ${odd}`);
    equal(parseHypervisorUri(`qemu+ssh://a@${odd}/system`), undefined, `host ${odd}`);
  }
  const literal = parseHypervisorUri('qemu+ssh://a@[2001:db8::5]:2222/system')!;
  deepEqual([literal.host, literal.port], ['2001:db8::5', 2222]);
  equal(parseHypervisorUri('qemu+ssh://a@[fe80::1%eth0]/system'), undefined);
  equal(parseHypervisorUri('qemu+ssh://a@kvm1:0/system'), undefined);
  equal(parseHypervisorUri('qemu+ssh://a@kvm1:65536/system'), undefined);
});

test('why SSH failed is told apart', async () => {
  const why = (stderr: string, code = 255) => sshFailure(SSH, { code, stderr })?.code;
  equal(why('No ED25519 host key is known for kvm1.\nHost key verification failed.\n'), 'IDENTITY');
  equal(why('holdfast@kvm1: Permission denied (publickey).\n'), 'AUTH');
  equal(why('ssh: connect to host kvm1 port 22: Connection refused\n'), 'UNREACHABLE');
  equal(why('virt-ssh-helper: cannot connect\n', 1), undefined);
});
