import type { DescribedNic } from '../../formats/store/catalog/machine.ts';
import type { Finding } from '../../hypervisors/base/finding.ts';
import type { ChosenNetwork } from '../../operations/base/cards.ts';
import type { RunFacts } from './run-facts.ts';
import type { RunWish } from './run-wish.ts';

/*
 * The networks of the machine's cards: those that were chosen, else those of the same name. A card whose network the
 * hypervisor lacks never gets another one by itself.
 */

const BRIDGE = 'bridge:';

interface Decided {
  /** By the MAC of a card; one that has none is not connected. */
  readonly networks: Readonly<Record<string, string>>;
  /** Names that were chosen something for, and that no card is meant by. */
  readonly unknown: readonly string[];
  readonly findings: readonly Finding[];
}

/** As a request has them. */
export function chosenNetworks(networks: readonly ChosenNetwork[]): RunWish['networks'] {
  return Object.fromEntries(
    networks.map(({ name, where }) => [name, where === 'none' ? null : where]),
  );
}

export function decideNetworks(
  { machine: { from, nics }, hypervisor, places }: RunFacts,
  { networks: chosen, isIsolated }: Pick<RunWish, 'networks' | 'isIsolated'>,
): Decided {
  const findings: Finding[] = [];
  const unknown = Object.keys(chosen).filter((old) => !nics.some((nic) => isMeant(nic, old)));
  if (isIsolated) return { networks: {}, unknown, findings };
  const networks: Record<string, string> = {};
  for (const nic of nics) {
    const old = Object.keys(chosen).find((it) => isMeant(nic, it));
    const wanted = old === undefined ? ownNetwork(nic) : chosen[old]!;
    if (wanted === null) continue;
    const isThere = places.networks.includes(wanted);
    // Hypervisors do not list their bridges: one is taken for there where the machine was, or a person says so.
    const isBridge =
      wanted.startsWith(BRIDGE) && (old !== undefined || from.hypervisor === hypervisor);
    if (isThere || isBridge) networks[nic.mac] = wanted;
    else findings.push(missingFinding(nic, wanted, { hypervisor, known: places.networks }));
  }
  return { networks, unknown, findings };
}

function isMeant(nic: DescribedNic, old: string): boolean {
  const { name } = nic.network;
  return nic.mac.toLowerCase() === old.toLowerCase() || name === old || ownNetwork(nic) === old;
}

/** As a hypervisor would name it: "lan", "bridge:br0". */
function ownNetwork({ network: { kind, name } }: DescribedNic): string {
  return kind === 'network' ? name : `${kind}:${name}`;
}

/** A name that is not that of a card of any machine of a run. */
export function unknownFinding(old: string, nics: readonly DescribedNic[]): Finding {
  const has = nics.map((nic) => `${ownNetwork(nic)} (${nic.mac})`).join(', ') || 'none';
  return {
    ...{ level: 'blocker', code: 'network' },
    message: `no card was in a network "${old}", or has that address: the cards were in ${has}`,
    remedy: 'give one of these as OLD: --network OLD=NEW',
  };
}

function missingFinding(
  nic: DescribedNic,
  wanted: string,
  { hypervisor, known }: { readonly hypervisor: string; readonly known: readonly string[] },
): Finding {
  const old = nic.network.name || nic.mac;
  const others = `=NEW, where NEW is ${[...known, `${BRIDGE}NAME for a bridge`].join(', ')}; or `;
  return {
    ...{ level: 'blocker', code: 'network' },
    message: `${hypervisor} has no active network "${wanted}" for card ${nic.mac}`,
    remedy: `choose one: --network ${old}${others}--network ${old}=none to leave it unconnected`,
  };
}
