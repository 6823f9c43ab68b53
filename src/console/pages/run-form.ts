import { isThroughSsh, isThroughTls } from '../../client/hypervisor-address.ts';
import { hypervisorNameFor, takenName } from '../../client/hypervisor-name.ts';
import { parse, SchemaError } from '../../lib/schema.ts';
import type { ShownHypervisor } from '../../operations/nouns/hypervisor.ts';
import { OPERATIONS } from '../../operations/operations.ts';
import type { FollowingWork, Form, FormDialog, FormValues, StartedWork } from '../state/dialog.ts';
import { offeredNetworks, offeredPools } from '../widgets/learned.ts';
import { operationForm } from '../widgets/operation-form.ts';

/* The form that runs a recovery point on a hypervisor, also on a host that is none yet: then it is added first. */

type Known = Pick<ShownHypervisor, 'hypervisor' | 'uri'>;

/** As SET/POINT; `run`: the backup of several machines that made it. */
interface Subject {
  readonly point: string;
  readonly run: string | undefined;
}

const ANOTHER = 'another host...';
const isAnother = (values: FormValues): boolean => values['on'] === ANOTHER;

/** The other values are those of the field that it begins with. */
const ITS_BACKUP = 'all of its backup';
const isOne = (values: FormValues): boolean =>
  values['also'] === '' && values['all'] !== ITS_BACKUP;
const areSeveral = (values: FormValues): boolean => !isOne(values);

/** With the only hypervisor filled in, Enter is enough. `known`: undefined while it is not known which there are. */
export function runOnForm(it: Subject, known: readonly Known[] | undefined): FormDialog {
  const { point, run } = it;
  const names = known?.map(({ hypervisor }) => hypervisor);
  const form = operationForm('session/run', {
    title: `Run ${point} on a hypervisor`,
    does: 'run',
    asks: [
      ...['on', 'address', 'as', 'powerOn', ...(run === undefined ? [] : ['all'])],
      ...['also', 'delay', 'heartbeat'],
      ...['name', 'replace', 'pool', 'writes', 'networks', 'isolated', 'migrate'],
    ],
    given: { points: [point] },
    values: {
      on: names === undefined ? '' : (names[0] ?? ANOTHER),
      ...{ powerOn: 'yes', all: 'this one' },
    },
    fields: {
      on: names === undefined ? {} : { choices: [...names, ANOTHER] },
      address: {
        label: 'Address',
        note: 'as qemu+ssh://root@10.0.0.7/system; qemu:///system is the libvirt of this host',
        matters: isAnother,
      },
      as: {
        label: 'Known as',
        note: 'name of the hypervisor from now on; default: that of its host',
        matters: isAnother,
      },
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
    about: (values) => ({
      ...(!isAnother(values) && { hypervisor: values['on'] ?? '' }),
      point,
    }),
    made: (request, values) => ({
      ...request,
      ...(isAnother(values) && { on: hostIn(values, known).hypervisor }),
      points: [point, ...(values['also'] ?? '').split(/[\s,]+/).filter((other) => other !== '')],
      ...(values['all'] === ITS_BACKUP && { run }),
    }),
    task: ({ on }) => `run ${point} on ${on}`,
  });
  const submit: Form['submit'] = (values) => {
    const work = form.form.submit(values);
    if (!isAnother(values) || typeof work === 'string' || 'kind' in work) return work;
    const host = hostIn(values, known);
    if (known?.some(({ uri }) => uri === host.uri)) return work;
    const taken = takenName(host.hypervisor, known ?? []);
    if (taken !== undefined) return `Known as: ${taken}.`;
    // If the run is refused, the form is shown again, for a hypervisor that is there.
    const again = {
      ...runOnForm(it, [...(known ?? []), host]),
      values: { ...values, on: host.hypervisor },
    };
    return added(host, { ...work, form: again });
  };
  return { ...form, form: { ...form.form, submit } };
}

function hostIn(values: FormValues, known: readonly Known[] = []): Known {
  const uri = values['address']!.trim();
  const taken = known.map(({ hypervisor }) => hypervisor);
  const named = values['as']!.trim() || hypervisorNameFor(uri, taken);
  return { uri, hypervisor: known.find((it) => it.uri === uri)?.hypervisor ?? named };
}

/** What adds it, or what is wrong with its address. */
function added({ hypervisor, uri }: Known, wanted: FollowingWork): StartedWork | string {
  const title = `hypervisor ${hypervisor}`;
  if (uri === '') return 'Address is missing.';
  if (isThroughTls(uri)) {
    return 'Machines cannot be run through TLS: give an address of SSH.';
  }
  try {
    const request = parse(OPERATIONS['hypervisor/add'].request, { hypervisor, uri });
    return isThroughSsh(uri)
      ? { title, call: { name: 'hypervisor/identify', request: { uri } }, wanted }
      : { title, call: { name: 'hypervisor/add', request }, wanted };
  } catch (cause) {
    if (!(cause instanceof SchemaError)) throw cause;
    return `${cause.at[0] === 'uri' ? 'Address' : 'Known as'}: ${cause.reason}.`;
  }
}
