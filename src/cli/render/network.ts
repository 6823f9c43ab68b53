import type { ResultOf } from '../../operations/operations.ts';
import { table } from '../base/output.ts';
import { CheckFailed } from '../base/command-errors.ts';
import type { Renders } from './render.ts';

export const render = {
  'network/show': networkText,
  'network/remove': pendingText,
  'network/test': {
    text: ({ checks }) =>
      checks
        .map(({ what, ok, detail }) => `${ok ? 'ok    ' : 'FAILED'}  ${what}: ${detail}`)
        .join('\n'),
    failure({ checks }) {
      const failed = checks.filter(({ ok }) => !ok).length;
      return failed > 0 ? new CheckFailed(`${failed} of ${checks.length} failed`) : undefined;
    },
  },
  'network/reset': ({ interfaces }) =>
    `DHCP is on for: ${interfaces.join(', ') || 'no interface'}.`,
} satisfies Renders;

export function pendingText({ what, secondsLeft }: ResultOf<'network/change'>): string {
  return `In force: ${what}. Rolled back in ${secondsLeft} s unless: holdfast network confirm`;
}

function networkText(shown: ResultOf<'network/show'>): string {
  const { refusal, interfaces, routes, dns, domains, pending } = shown;
  const rows = interfaces.map(({ name, kind, up, carrier, mac, addresses, managedBy }) => [
    name,
    kind,
    up ? (carrier ? 'up' : 'no cable') : 'down',
    managedBy,
    mac ?? '',
    addresses
      .map(({ address, from }) => (from === 'fixed' ? address : `${address} (${from})`))
      .join(' '),
  ]);
  return [
    table(['INTERFACE', 'KIND', 'STATE', 'MANAGED BY', 'HARDWARE', 'ADDRESSES'], rows),
    '',
    ...routes.map(
      ({ to, via, on }) => `route   ${to} ${via === null ? '' : `via ${via} `}on ${on}`,
    ),
    `dns     ${dns.join(' ') || 'none'}${domains.length > 0 ? `; domains ${domains.join(' ')}` : ''}`,
    ...(refusal === null ? [] : ['', `The network cannot be changed here: ${refusal}`]),
    ...(pending === null
      ? []
      : [
          '',
          `${pending.what} is rolled back in ${pending.secondsLeft} s unless: holdfast network confirm`,
        ]),
  ].join('\n');
}
