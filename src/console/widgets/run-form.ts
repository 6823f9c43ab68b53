import type { RequestOf } from '../../operations/operations.ts';
import type { Form, FormDialog, FormValues } from '../state/dialog-model.ts';

type Request = RequestOf<'session/start'>;

/** How a recovery point is run. */
export function runForm(point: string): FormDialog {
  return {
    ...{ kind: 'form', title: `Run ${point}`, field: 0, problem: '' },
    form: { ...FORM, submit: (values) => submitted(point, values) },
    values: {
      ...{ listen: '', tls: 'no', tlsPath: '', nfs: 'no', allow: '', host: '' },
      ...{ points: 'no', squash: 'root', whenFull: 'pause' },
    },
  };
}

const withNfs = ({ nfs }: FormValues): boolean => nfs === 'yes';

const FORM: Omit<Form, 'submit'> = {
  does: 'run it',
  fields: [
    {
      ...{ name: 'listen', label: 'NBD address' },
      note: 'unix:PATH or tcp:HOST:PORT; empty: a socket of its own',
    },
    {
      ...{ name: 'tls', label: 'NBD with TLS', choices: ['no', 'x509', 'psk'] },
      note: 'certificates, or keys that both sides know; without, use it on this host only',
    },
    {
      ...{ name: 'tlsPath', label: 'TLS files', matters: ({ tls }) => tls !== 'no' },
      note: 'x509: directory with server-cert.pem, server-key.pem; psk: lines of identity:key',
    },
    {
      ...{ name: 'nfs', label: 'NFS datastore', choices: ['no', 'yes'] },
      note: 'its disks as files too, for hosts that mount NFS',
    },
    {
      ...{ name: 'allow', label: 'NFS networks', matters: withNfs },
      note: 'who may mount it, such as 10.0.0.0/24; empty: this host only',
    },
    {
      ...{ name: 'host', label: 'NFS address', matters: withNfs },
      note: 'where it listens; empty: everywhere if others may mount it, else 127.0.0.1',
    },
    {
      ...{ name: 'points', label: 'NFS points too', choices: ['no', 'yes'], matters: withNfs },
      note: 'all recovery points of its set as files too, to be read',
    },
    {
      ...{ name: 'squash', label: 'NFS users', choices: ['root', 'none', 'all'], matters: withNfs },
      note: 'users who are mapped to “nobody”; hypervisors connect as root: none',
    },
    {
      ...{ name: 'whenFull', label: 'When full', choices: ['pause', 'refuse'] },
      note: 'pause: the guest waits for space; refuse: its writes fail',
    },
  ],
};

function submitted(point: string, values: FormValues): ReturnType<Form['submit']> {
  const text = (name: string): string | undefined => values[name]?.trim() || undefined;
  const tls = tlsRequest(values['tls'], text('tlsPath'));
  if (typeof tls === 'string') return tls;
  return {
    title: `run ${point}`,
    call: {
      name: 'session/start',
      request: {
        ...{ point, tls, listen: text('listen') },
        whenFull: values['whenFull'] === 'refuse' ? 'refuse' : 'pause',
        nfs: withNfs(values) ? nfsRequest(values, text('host')) : undefined,
      },
    },
  };
}

function tlsRequest(kind: string | undefined, path: string | undefined): Request['tls'] | string {
  if (kind !== 'x509' && kind !== 'psk') return undefined;
  if (path === undefined) return 'TLS needs its files: say where they are, or choose "no".';
  return kind === 'psk' ? { kind, path } : { kind, directory: path };
}

function nfsRequest(
  { allow = '', points, squash }: FormValues,
  host: string | undefined,
): Request['nfs'] {
  const networks = allow.split(/[\s,]+/).filter((it) => it !== '');
  return {
    ...{ host, points: points === 'yes', readOnly: false, privilegedPorts: true },
    allow: networks.length > 0 ? networks : undefined,
    ports: { nfs: undefined, mount: undefined, portmap: undefined },
    squash: squash === 'none' || squash === 'all' ? squash : 'root',
  };
}
