import type { FormDialog, FormValues } from '../state/dialog.ts';
import { offeredNetworks, offeredPools } from '../widgets/learned.ts';
import { operationForm } from '../widgets/operation-form.ts';
import { anotherHost, type KnownHost } from '../widgets/another-host.ts';

/* The form that runs a recovery point on a hypervisor, also on a host that is none yet: then it is added first. */

/** As SET/POINT; `run`: the backup of several machines that made it. */
interface Subject {
  readonly point: string;
  readonly run: string | undefined;
}

/** The other values are those of the field that it begins with. */
const ITS_BACKUP = 'all of its backup';
const isOne = (values: FormValues): boolean =>
  values['also'] === '' && values['all'] !== ITS_BACKUP;
const areSeveral = (values: FormValues): boolean => !isOne(values);

/** With the only hypervisor filled in, Enter is enough. `known`: undefined while it is not known which there are. */
export function runOnForm(it: Subject, known: readonly KnownHost[] | undefined): FormDialog {
  const { point, run } = it;
  const host = anotherHost({
    ...{ place: 'on', known },
    notThroughTls: 'Machines cannot be run through TLS: give an address of SSH.',
  });
  const form = operationForm('session/run', {
    title: `Run ${point} on a hypervisor`,
    does: 'run',
    asks: [
      ...[...host.asks, 'powerOn', ...(run === undefined ? [] : ['all'])],
      ...['also', 'delay', 'heartbeat'],
      ...['name', 'replace', 'pool', 'writes', 'networks', 'isolated', 'migrate'],
    ],
    given: { points: [point] },
    values: { on: host.first, powerOn: 'yes', all: 'this one' },
    fields: {
      ...host.fields,
      all: {
        ...{ label: 'Machines', choices: ['this one', ITS_BACKUP] },
        note: 'whether the other machines of the backup that made this point run, too: this one starts first',
      },
      also: {
        label: 'Then',
        note: 'further recovery points with spaces between them, which start after it: web1@latest db1@latest',
      },
      delay: { matters: areSeveral },
      heartbeat: { matters: areSeveral },
      name: { matters: isOne },
      pool: { offers: offeredPools },
      networks: { offers: offeredNetworks },
    },
    meanings: { replace: { no: undefined, keep: 'keep', delete: 'delete' } },
    about: (values) => ({ ...host.about(values), point }),
    made: (request, values) => ({
      ...host.named(request, values),
      points: [point, ...(values['also'] ?? '').split(/[\s,]+/).filter((other) => other !== '')],
      ...(values['all'] === ITS_BACKUP && { run }),
    }),
    task: ({ on }) => `run ${point} on ${on}`,
  });
  return host.withHost(form, (more) => runOnForm(it, more));
}
