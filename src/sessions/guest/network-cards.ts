import type { DescribedNic } from '../../formats/store/catalog/machine.ts';

/* A machine's network cards, as far as each kind of hypervisor takes them. */

const MODELS = {
  libvirt: ['virtio', 'e1000', 'e1000e', 'rtl8139', 'vmxnet3', 'ne2k_pci', 'pcnet'],
  proxmox: ['virtio', 'e1000', 'e1000e', 'rtl8139', 'vmxnet3'],
  vmware: ['vmxnet3', 'vmxnet2', 'e1000', 'e1000e'],
} as const;
/** For which every system has a driver. */
const MODEL_DEFAULT = 'e1000e';

export function cardModel({ model }: DescribedNic, on: keyof typeof MODELS): string {
  return MODELS[on].find((it) => it === model) ?? MODEL_DEFAULT;
}

const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;
const NOTHING = '00:00:00:00:00:00';

/** In lower case; undefined: it is no address of a card, and the hypervisor gives it one. */
export function macOf({ mac }: Pick<DescribedNic, 'mac'>): string | undefined {
  const address = mac.toLowerCase();
  if (!MAC.test(address) || address === NOTHING) return undefined;
  // The lowest bit of the first byte marks a group of cards: a hypervisor refuses a machine with such a card.
  return (Number.parseInt(address.slice(0, 2), 16) & 1) === 0 ? address : undefined;
}
