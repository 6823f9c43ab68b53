import type { RequestOf } from '../../../operations/operations.ts';
import type { Command, Input } from '../../base/command.ts';
import {
  pendingText,
  WITHIN_DETAILS,
  WITHIN_OPTION,
  within,
} from '../../options/network-options.ts';
import { UsageError } from '../../base/command-errors.ts';

export const command: Command = {
  usage:
    'INTERFACE (--dhcp | --address ADDRESS/LENGTH ... [--gateway G] | --off) [--dns SERVER ...]',
  details: [
    '--dhcp              addresses from the network',
    '--address A/LENGTH  fixed: 10.0.0.5/24, fd00::5/64; any number of them',
    '--gateway G         of a fixed address',
    '--off               no address, as below a VLAN',
    '--dns SERVER        any number of them; --domain NAME is appended to names without a dot',
    '--vlan ID --on IF   INTERFACE is made: VLAN ID (1 to 4094) on IF, which must be set up',
    '--bond IF ...       INTERFACE is made, of these; --mode active-backup (the default), 802.3ad, balance-alb',
    'The earlier settings of INTERFACE are replaced.',
    ...WITHIN_DETAILS,
  ],
  options: {
    dhcp: { type: 'boolean' },
    off: { type: 'boolean' },
    address: { type: 'string', multiple: true },
    gateway: { type: 'string', multiple: true },
    dns: { type: 'string', multiple: true },
    domain: { type: 'string', multiple: true },
    vlan: { type: 'string' },
    on: { type: 'string' },
    bond: { type: 'string', multiple: true },
    mode: { type: 'string' },
    ...WITHIN_OPTION,
  },
  takes: [1, 1],
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
    if (!Number.isInteger(id)) throw new UsageError(`"${vlan}" is no VLAN ID`);
    return { kind: 'vlan', on: input.required('on'), id };
  }
  if (members.length === 0) return { kind: 'wired' };
  const mode = input.text('mode') ?? 'active-backup';
  // What it may be is checked where it is done.
  return { kind: 'bond', mode: mode as Extract<Kind, { kind: 'bond' }>['mode'], members };
}
