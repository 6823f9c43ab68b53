import { argument, flag, option } from '../../base/rows.ts';
import type { RequestOf } from '../../../operations/operations.ts';
import type { Command, Input } from '../../base/command.ts';
import { pendingText } from '../../render/network.ts';
import { UsageError } from '../../base/command-errors.ts';

const MODES = ['active-backup', '802.3ad', 'balance-alb'] as const;
const STANDARD_SECONDS = 60;

export const command: Command = {
  summary: 'Configure an interface; rolled back unless confirmed',
  about: [
    'One of --dhcp, --address and --off is needed. The earlier settings of the interface are replaced. With --vlan ' +
      'or --bond the interface is created.',
  ],
  args: [argument('INTERFACE', 'name of the interface')],
  options: [
    flag('dhcp', 'addresses from the network'),
    option('address', 'ADDRESS/LENGTH', 'a fixed address: 10.0.0.5/24, fd00::5/64', {
      kind: 'list',
    }),
    option('gateway', 'GATEWAY', 'gateway of the fixed addresses', { kind: 'list' }),
    flag('off', 'no address, as for an interface below a VLAN'),
    option('dns', 'SERVER', 'a name server', { kind: 'list' }),
    option('domain', 'NAME', 'appended to names without a dot', { kind: 'list' }),
    option('vlan', 'ID', 'create a VLAN with this ID (1 to 4094)'),
    option('on', 'INTERFACE', 'the interface below the VLAN, which must be set up'),
    option('bond', 'INTERFACE', 'create a bond of this interface and others', { kind: 'list' }),
    option('mode', 'MODE', `mode of the bond: ${MODES.join(', ')}; default: the first`, {
      words: MODES,
    }),
    option(
      'within',
      'SECONDS',
      'roll back after 5 to 600 seconds (default: 60) unless confirmed ("network confirm"), even if the ' +
        'host or Holdfast goes down in the meantime',
    ),
  ],
  examples: [
    'network change eth0 --address 10.0.0.5/24 --gateway 10.0.0.1 --dns 10.0.0.2',
    'network change lan7 --vlan 7 --on bond0 --dhcp',
  ],
  async run(input, { output, call }) {
    const dhcp = input.flag('dhcp');
    const addresses = input.texts('address');
    if (!dhcp && addresses.length === 0 && !input.flag('off')) {
      throw new UsageError('--dhcp, --address or --off');
    }
    if (input.flag('off') && (dhcp || addresses.length > 0)) {
      throw new UsageError('--off, or addresses');
    }
    const pending = await call('network/change', {
      name: input.args[0]!,
      kind: kindOf(input),
      dhcp,
      addresses,
      gateways: input.texts('gateway'),
      dns: input.texts('dns'),
      domains: input.texts('domain'),
      seconds: within(input),
    });
    output.result(pending, () => pendingText(pending));
  },
};

type Kind = RequestOf<'network/change'>['kind'];

function kindOf(input: Input): Kind {
  const vlan = input.text('vlan');
  const members = input.texts('bond');
  if (vlan !== undefined && members.length > 0) throw new UsageError('--vlan or --bond');
  if (vlan !== undefined) {
    const id = Number(vlan);
    if (!Number.isInteger(id)) throw new UsageError(`"${vlan}" is not a VLAN ID`);
    return { kind: 'vlan', on: input.required('on'), id };
  }
  if (members.length === 0) return { kind: 'wired' };
  const mode = input.text('mode') ?? 'active-backup';
  // The operation checks the value.
  return { kind: 'bond', mode: mode as (typeof MODES)[number], members };
}

function within(input: Input): number {
  const text = input.text('within');
  const seconds = text === undefined ? STANDARD_SECONDS : Number(text);
  if (Number.isInteger(seconds)) return seconds;
  throw new UsageError(`--within ${text}: a number of seconds`);
}
