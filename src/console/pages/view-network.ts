import { interfacesOf } from './network-keys.ts';
import type { InterfaceView } from '../widgets/network-forms.ts';
import type { Model } from '../state/model.ts';
import { columns, type Line, line, wrapped } from '../terminal/screen.ts';
import { listBody } from './view-lists.ts';
import { notKnown } from '../widgets/view-status.ts';

const WIDTHS = [15, 8, 9];

export function networkBody(model: Model): readonly Line[] {
  const { network, size } = model;
  if (network.kind !== 'known') return [notKnown(network)];
  const { refusal, routes, dns, domains } = network.value;
  const width = size.columns - 3;
  const list = listBody(model, {
    known: interfacesOf(model),
    heading: columns(['INTERFACE', 'STATE', 'BY', 'ADDRESSES'], WIDTHS),
    none: 'This machine has no network interface.',
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

/** Seconds until the last change is rolled back; undefined: none waits. */
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
    line(` ${what} is in force, and ROLLED BACK IN ${left} s. Does everything work?`, 'warning'),
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
