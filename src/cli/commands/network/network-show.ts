import type { ResultOf } from '../../../operations/operations.ts';
import type { Command } from '../../base/command.ts';
import { table } from '../../base/output.ts';

export const command: Command = {
  usage: '',
  details: [],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const shown = await call('network/show', {});
    output.result(shown, () => text(shown));
  },
};

function text({
  refusal,
  interfaces,
  routes,
  dns,
  domains,
  pending,
}: ResultOf<'network/show'>): string {
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
    table(['INTERFACE', 'KIND', 'STATE', 'SET UP BY', 'HARDWARE', 'ADDRESSES'], rows),
    '',
    ...routes.map(
      ({ to, via, on }) => `route   ${to} ${via === null ? '' : `via ${via} `}on ${on}`,
    ),
    `dns     ${dns.join(' ') || 'none'}${domains.length > 0 ? `; domains ${domains.join(' ')}` : ''}`,
    ...(refusal === null ? [] : ['', `Nothing can be changed here: ${refusal}`]),
    ...(pending === null
      ? []
      : [
          '',
          `${pending.what} is rolled back in ${pending.secondsLeft} s unless: holdfast network confirm`,
        ]),
  ].join('\n');
}
