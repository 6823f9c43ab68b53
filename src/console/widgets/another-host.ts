import { isThroughTls } from '../../client/hypervisor-address.ts';
import { hypervisorNameFor, takenName } from '../../client/hypervisor-name.ts';
import type { ShownHypervisor } from '../../operations/nouns/hypervisor.ts';
import type { Form, FormDialog, FormField, FormValues } from '../state/dialog.ts';
import { newHypervisorForm } from './new-hypervisor.ts';

/*
 * In a form for a hypervisor, a host can be chosen that is none yet: the original may be lost, and a spare one stands
 * there. It is added first, as on the page of hypervisors; then what the form is for is done there.
 */

export type KnownHost = Pick<ShownHypervisor, 'hypervisor' | 'uri'>;

interface AnotherHost {
  /** The field that names the hypervisor. */
  readonly place: string;
  /** Undefined while it is not known which there are: then the name is typed. */
  readonly known: readonly KnownHost[] | undefined;
  /** Why it cannot be reached through TLS; undefined: it can. */
  readonly notThroughTls?: string;
}

const ANOTHER = 'another host...';
/** By what it is recognized, and we by it: fields of the form of a new hypervisor. */
const TLS_FILES = ['ca', 'clientCertificate', 'clientKey'];

export function anotherHost({ place, known, notThroughTls }: AnotherHost) {
  const hosts = known ?? [];
  const isAnother = (values: FormValues): boolean => values[place] === ANOTHER;
  const made = newHypervisorForm({ hypervisor: 'Known as', uri: 'Address' });
  const asks = [...(notThroughTls === undefined ? TLS_FILES : []), 'hostKey'];

  function hostIn(values: FormValues): KnownHost {
    const uri = values['address']!.trim();
    const taken = hosts.map(({ hypervisor }) => hypervisor);
    const named = values['as']!.trim() || hypervisorNameFor(uri, taken);
    return { uri, hypervisor: hosts.find((it) => it.uri === uri)?.hypervisor ?? named };
  }
  function ofNew(name: string): readonly [string, FormField] {
    const field = made.form.fields.find((it) => it.name === name)!;
    const matters = (values: FormValues): boolean =>
      isAnother(values) && (field.matters?.({ ...values, uri: values['address']! }) ?? true);
    return [name, { ...field, matters }];
  }

  return {
    asks: [place, 'address', 'as', ...asks],
    /** The hypervisor with which the form begins. */
    first: hosts[0]?.hypervisor ?? (known === undefined ? '' : ANOTHER),
    fields: {
      [place]:
        known === undefined
          ? {}
          : { choices: [...hosts.map(({ hypervisor }) => hypervisor), ANOTHER] },
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
      ...Object.fromEntries(asks.map(ofNew)),
    },
    /** Nothing is known of one that is none yet. */
    about: (values: FormValues): { readonly hypervisor?: string } =>
      isAnother(values) ? {} : { hypervisor: values[place] ?? '' },
    /** The request, for a hypervisor that is there by then. */
    named: (request: Readonly<Record<string, unknown>>, values: FormValues) =>
      isAnother(values) ? { ...request, [place]: hostIn(values).hypervisor } : request,
    /** `again`: the form, once there is a further one. */
    withHost(dialog: FormDialog, again: (known: readonly KnownHost[]) => FormDialog): FormDialog {
      const submit: Form['submit'] = (values) => {
        const work = dialog.form.submit(values);
        if (!isAnother(values) || typeof work === 'string' || 'kind' in work) return work;
        const host = hostIn(values);
        if (hosts.some(({ uri }) => uri === host.uri)) return work;
        const taken = takenName(host.hypervisor, hosts);
        if (taken !== undefined) return `Known as: ${taken}.`;
        if (notThroughTls !== undefined && isThroughTls(host.uri)) return notThroughTls;
        const entered = asks.map((name) => [name, values[name] ?? ''] as const);
        const adding = made.form.submit({
          ...{ ...made.values, ...Object.fromEntries(entered) },
          ...host,
        });
        if (typeof adding === 'string' || 'kind' in adding) return adding;
        // If it is refused, the form is shown again, for a hypervisor that is there.
        const { hypervisor } = host;
        const form = { ...again([...hosts, host]), values: { ...values, [place]: hypervisor } };
        return { ...adding, wanted: { ...work, form, hypervisor } };
      };
      return { ...dialog, form: { ...dialog.form, submit } };
    },
  };
}
