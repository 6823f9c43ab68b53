import type { Form, FormDialog, FormValues } from './dialog-model.ts';

/** How a recovery point is run. */
export function runForm(point: string): FormDialog {
  return {
    ...{ kind: 'form', title: `Run ${point}`, field: 0, problem: '' },
    form: { ...FORM, submit: (values) => submitted(point, values) },
    values: { listen: '', nfs: 'no', allow: '', whenFull: 'pause' },
  };
}

const FORM: Omit<Form, 'submit'> = {
  does: 'run it',
  fields: [
    {
      ...{ name: 'listen', label: 'NBD address' },
      note: 'unix:PATH or tcp:HOST:PORT; empty: a socket of its own',
    },
    {
      ...{ name: 'nfs', label: 'NFS datastore', choices: ['no', 'yes'] },
      note: 'its disks as files too, for hosts that mount NFS',
    },
    {
      ...{ name: 'allow', label: 'NFS networks' },
      note: 'who may mount it, such as 10.0.0.0/24; empty: this host only',
    },
    {
      ...{ name: 'whenFull', label: 'When full', choices: ['pause', 'refuse'] },
      note: 'pause: the guest waits for space; refuse: its writes fail',
    },
  ],
};

function submitted(point: string, values: FormValues): ReturnType<Form['submit']> {
  const { listen = '', nfs, allow = '', whenFull } = values;
  const networks = allow.split(/[\s,]+/).filter((it) => it !== '');
  if (networks.length > 0 && nfs === 'no') {
    // Else somebody would think that a session is open to others in a way in which it is not.
    return 'Networks go with NFS: switch it on, or empty the field.';
  }
  return {
    title: `run ${point}`,
    call: {
      name: 'session/start',
      request: {
        ...{ point, tls: undefined },
        whenFull: whenFull === 'refuse' ? 'refuse' : 'pause',
        listen: listen.trim() === '' ? undefined : listen.trim(),
        nfs: nfs === 'yes' ? nfsRequest(networks) : undefined,
      },
    },
  };
}

function nfsRequest(networks: readonly string[]) {
  return {
    allow: networks.length > 0 ? networks : undefined,
    host: undefined,
    ports: { nfs: undefined, mount: undefined, portmap: undefined },
    squash: 'none',
    ...{ readOnly: false, privilegedPorts: false, points: false },
  } as const;
}
