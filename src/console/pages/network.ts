import type { ResultOf } from '../../operations/operations.ts';
import type { ConfirmDialog, FormDialog, FormValues } from '../state/dialog.ts';
import { chosenOf, idsOf } from '../state/lists.ts';
import type { Model } from '../state/model.ts';
import { whole } from '../state/queries.ts';
import { type Known, valueOf, type Work } from '../state/service.ts';
import { columns, type Line, line, wrapped } from '../terminal/screen.ts';
import { listBody, notKnown } from '../widgets/list-body.ts';
import { operationForm } from '../widgets/operation-form.ts';
import { keysFor, type Page } from '../widgets/page.ts';
import { confirmation } from '../widgets/typed.ts';

/* Interfaces of this machine. A change is rolled back unless it is confirmed in time. */

type NetworkView = ResultOf<'network/show'>;
type InterfaceView = NetworkView['interfaces'][number];

export const NETWORK = whole('network', 'network/show');

const onNetwork = keysFor(({ network }) => valueOf(network));
const onInterface = keysFor((model) => chosenOf(interfacesOf(model), model.chosen.network));

const hasPending = ({ network }: Model): boolean => Boolean(valueOf(network)?.pending);
const unlessPending = (model: Model): string | undefined =>
  hasPending(model) ? 'First press c to keep the last change, or u to undo it.' : undefined;
const onlyPending = (model: Model): string | undefined => {
  if (hasPending(model)) return undefined;
  return model.network.kind === 'known' ? 'No change waits to be confirmed.' : '';
};

const CONFIRM: Work = {
  title: 'network: confirm',
  call: { name: 'network/confirm', request: {} },
};
const UNDO: Work = { title: 'network: undo', call: { name: 'network/revert', request: {} } };

export const networkPage: Page = {
  title: 'Network',
  keys: [
    onInterface('enter', 'addresses', interfaceForm, unlessPending),
    onInterface('v', 'VLAN', ({ name }) => vlanForm(name), unlessPending),
    onNetwork('b', 'bond', bondForm, unlessPending),
    onInterface('d', 'remove', remove, unlessPending),
    onNetwork('c', 'keep the change', () => CONFIRM, onlyPending),
    onNetwork('u', 'undo it', () => UNDO, onlyPending),
    onNetwork('t', 'test', testForm),
    onNetwork('R', 'reset', reset),
  ],
  queries: [NETWORK],
  list: { kind: 'rows', ids: (model) => idsOf(interfacesOf(model), (it) => it.name) },
  body: networkBody,
};

function interfacesOf({ network }: Model): Known<readonly InterfaceView[]> {
  return network.kind === 'known' ? { ...network, value: network.value.interfaces } : network;
}

const REMOVAL_SECONDS = 60;

function remove({ name }: InterfaceView): ConfirmDialog {
  return confirmation({
    title: `removal of ${name}`,
    question:
      `This host and its sessions can no longer be reached through ${name}. The interface comes back by ` +
      `itself unless the change is kept within ${REMOVAL_SECONDS} seconds.`,
    word: 'remove',
    call: { name: 'network/remove', request: { name, seconds: REMOVAL_SECONDS } },
  });
}

function reset(): ConfirmDialog {
  return confirmation({
    title: 'Emergency reset of the network',
    question:
      'All settings of the network are removed, even VLANs and bonds, and every wired interface requests an ' +
      'address by DHCP. This is not rolled back.',
    word: 'reset',
    call: { name: 'network/reset', request: {} },
  });
}

const WIDTHS = [15, 8, 9];

function networkBody(model: Model): readonly Line[] {
  const { network, size } = model;
  if (network.kind !== 'known') return [notKnown(network)];
  const { refusal, routes, dns, domains } = network.value;
  const width = size.columns - 3;
  const list = listBody(model, {
    known: interfacesOf(model),
    heading: columns(['INTERFACE', 'STATE', 'BY', 'ADDRESSES'], WIDTHS),
    none: 'This host has no network interfaces.',
    text: interfaceText,
  });
  const facts = [
    ...routes.map(({ to, via, on }) => `route ${to} ${via === null ? '' : `via ${via} `}on ${on}`),
    `name servers ${dns.join(' ') || 'none'}${domains.length > 0 ? `, domains ${domains.join(' ')}` : ''}`,
  ];
  const no = refusal === null ? [] : wrapped(`Nothing can be changed here: ${refusal}`, width);
  return [
    ...pendingLines(model),
    ...no.map((text) => line(` ${text}`, 'warning')),
    ...list,
    [],
    ...facts.map((text) => line(` ${text}`)),
  ];
}

/** Seconds until the last change is rolled back; undefined: no change waits. */
function secondsLeft({ network, nowMs }: Model): number | undefined {
  if (network.kind !== 'known' || network.value.pending === null) return undefined;
  const since = (nowMs - network.atMs) / 1000;
  return Math.max(0, Math.ceil(network.value.pending.secondsLeft - since));
}

function pendingLines(model: Model): Line[] {
  const left = secondsLeft(model);
  if (left === undefined || model.network.kind !== 'known') return [];
  const { what } = model.network.value.pending!;
  return [
    line(
      ` ${what} is in force, and ROLLED BACK IN ${left} s. Does everything still work?`,
      'warning',
    ),
    line(' c keeps it, u undoes it now.', 'strong'),
    [],
  ];
}

function interfaceText(it: InterfaceView): string {
  const state = it.up ? (it.carrier ? 'up' : 'no cable') : 'down';
  const seen = it.addresses.filter(({ from }) => from !== 'link');
  const shown = seen.map(({ address, from }) =>
    from === 'fixed' ? address : `${address} (${from})`,
  );
  const part = it.partOf === null ? [] : [`part of ${it.partOf}`];
  return columns([it.name, state, it.managedBy, [...part, ...shown].join(' ') || '-'], WIDTHS);
}

const BOTH = 'DHCP and fixed';
const isFixed = ({ how }: FormValues): boolean => how === 'fixed';
const hasAddresses = (values: FormValues): boolean => isFixed(values) || values['how'] === BOTH;

type Plan = NonNullable<InterfaceView['planned']>;

/** The form for a change of the network, with the given further questions. */
function changeForm({
  title,
  asks = [],
  given,
  values,
  nameOf = ({ name }) => String(name),
}: {
  readonly title: string;
  readonly asks?: readonly string[];
  readonly given: Readonly<Record<string, unknown>>;
  readonly values?: FormValues;
  readonly nameOf?: (request: Readonly<Record<string, unknown>>) => string;
}): FormDialog {
  return operationForm('network/change', {
    title,
    does: 'apply it',
    asks: [...asks, 'how', 'addresses', 'gateways', 'dns', 'domains', 'seconds'],
    given,
    values: { how: 'DHCP', ...values },
    meanings: { seconds: { 60: 60, 120: 120, 300: 300 } },
    fields: {
      // Two fields of the request as one question: fixed addresses are kept beside DHCP if there are any.
      how: {
        label: 'Addresses',
        choices: ['DHCP', 'fixed', BOTH, 'none'],
        note: 'from the network, fixed, both, or none (for an interface that only has VLANs)',
      },
      addresses: { matters: hasAddresses },
      gateways: { matters: isFixed },
    },
    made(request, typed) {
      if (hasAddresses(typed) && request['addresses'] === undefined) {
        return 'An address is missing: for instance 10.0.0.5/24.';
      }
      const { how } = typed;
      return { ...request, name: nameOf(request), dhcp: how === 'DHCP' || how === BOTH };
    },
    task: ({ name }) => `network of ${name}`,
  });
}

function interfaceForm({ name, planned, addresses }: InterfaceView): FormDialog {
  const fixed = addresses.filter(({ from }) => from === 'fixed').map(({ address }) => address);
  return changeForm({
    title: `Addresses of ${name}`,
    given: { name, kind: planned?.kind ?? { kind: 'wired' } },
    values: planned
      ? {
          how: howOf(planned),
          addresses: planned.addresses.join(' '),
          gateways: planned.gateways.join(' '),
          dns: planned.dns.join(' '),
          domains: planned.domains.join(' '),
        }
      : { how: fixed.length > 0 ? 'fixed' : 'DHCP', addresses: fixed.join(' ') },
  });
}

function howOf({ dhcp, addresses }: Plan): string {
  if (addresses.length === 0) return dhcp ? 'DHCP' : 'none';
  return dhcp ? BOTH : 'fixed';
}

/** IFNAMSIZ of Linux. */
const NAME_MAX = 15;

function vlanForm(on: string): FormDialog {
  return changeForm({
    title: `A VLAN on ${on}`,
    asks: ['kind.id'],
    given: { kind: { kind: 'vlan', on } },
    nameOf({ kind }) {
      const { id } = kind as { readonly id?: unknown };
      const name = `${on}.${String(id)}`;
      return name.length <= NAME_MAX ? name : `vlan${String(id)}`;
    },
  });
}

function bondForm({ interfaces }: NetworkView): FormDialog {
  const wired = interfaces.filter(({ kind }) => kind === 'wired').map(({ name }) => name);
  return changeForm({
    title: 'A bond: several interfaces as one',
    asks: ['name', 'kind.members', 'kind.mode'],
    given: { kind: { kind: 'bond' } },
    values: { name: 'bond0', 'kind.members': wired.join(' ') },
  });
}

function testForm(): FormDialog {
  return operationForm('network/test', {
    title: 'Test the network',
    does: 'try',
    asks: ['host'],
    task: () => 'test of the network',
  });
}
