import { field, flag, list, object, type Of, withDefault } from '../../lib/schema.ts';
import { line } from './fields.ts';

/* What becomes of a machine's network cards where it did not come from. */

const CHOSEN_MAX = 64;
const name = line(256);

const chosen = object({
  name: field(name, 'network in which the machine was, or MAC address of a card'),
  where: field(name, 'network of the hypervisor; none: not connected'),
});
export type ChosenNetwork = Of<typeof chosen>;

export const cards = {
  networks: field(
    withDefault(list(chosen, CHOSEN_MAX), []),
    'network for a card; none: not connected; default: the network of the same name',
    { placeholder: 'OLD=NEW|none' },
  ),
  isolated: field(withDefault(flag(), false), 'connect no card to a network'),
};
