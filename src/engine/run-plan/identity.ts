import type { PlacementPlan } from '../../formats/store/sessions/placement.ts';
import type { Finding } from '../../hypervisors/base/finding.ts';
import type { MachineSummary } from '../../hypervisors/base/machines.ts';
import type { RunFacts } from './run-facts.ts';
import type { RunWish } from './run-wish.ts';

/*
 * As which machine it runs. It takes the name and the UUID of the original where that is gone. One that is replaced is
 * only renamed: no hypervisor gives a machine another UUID, so the recovered one gets a new one.
 */

type Identity = Pick<PlacementPlan, 'name' | 'uuid' | 'replaces'>;

interface Decided extends Identity {
  readonly findings: readonly Finding[];
}

export function decideIdentity(facts: RunFacts, wish: Pick<RunWish, 'name' | 'replace'>): Decided {
  const { machine, machines } = facts;
  const name = wish.name ?? machine.from.name;
  const original = machines.find(({ id }) => isSame(id, machine.ids.uuid));
  const holder = machines.find((it) => it.name === name);
  const old = wish.replace && (original ?? holder);
  const uuid = uuidFor(facts, original);
  const findings = [
    ...nameFindings(facts, { name, holder, old }),
    ...(wish.replace ? replaceFindings(facts, { old, original, afterwards: wish.replace }) : []),
    ...uuidFindings(facts, uuid),
  ];
  const replaces = old && wish.replace && { machine: old.id, afterwards: wish.replace };
  return { name, uuid, replaces, findings };
}

/** Drivers know less of names and of what is replaced, and find again what was decided here. */
export function notDecided(
  theirs: readonly Finding[],
  { replaces }: Pick<Identity, 'replaces'>,
): readonly Finding[] {
  return theirs.filter(({ code }) => code !== 'name' && !(code === 'source-machine' && replaces));
}

const isSame = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase();

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

function uuidFor(
  { machine, taken, newUuid }: RunFacts,
  original: MachineSummary | undefined,
): string {
  const { uuid } = machine.ids;
  const isTaken = original !== undefined || taken.some((it) => isSame(it.uuid, uuid));
  return isTaken || !UUID.test(uuid) ? newUuid : uuid.toLowerCase();
}

function uuidFindings({ machine }: RunFacts, uuid: string): readonly Finding[] {
  if (isSame(machine.ids.uuid, uuid)) return [];
  return [
    {
      ...{ level: 'note', code: 'machine-id' },
      message:
        `it gets a new UUID, ${uuid}: another machine has ${machine.ids.uuid}. Programs in the guest that are bound ` +
        'to the UUID, such as licenses or cloud-init, may take it for a new machine',
    },
  ];
}

interface Named {
  readonly name: string;
  readonly holder: MachineSummary | undefined;
  readonly old: MachineSummary | undefined;
}

function nameFindings(facts: RunFacts, { name, holder, old }: Named): readonly Finding[] {
  const { hypervisor, taken } = facts;
  const other = taken.find((it) => it.name === name);
  const found = { level: 'blocker', code: 'name' } as const;
  if (other) {
    const message = `session ${other.session} has a machine "${name}" on ${hypervisor}`;
    return [{ ...found, message, remedy: `choose another name: --name ${name}-2` }];
  }
  if (!holder || holder.id === old?.id) return [];
  const message = `a machine "${name}" exists on ${hypervisor} (${holder.id})`;
  const remedy = old
    ? `choose another name: --name ${name}-2`
    : `choose another name (--name ${name}-2), or replace that machine (--replace keep)`;
  return [{ ...found, message, remedy }];
}

interface Replaced {
  readonly old: MachineSummary | undefined;
  readonly original: MachineSummary | undefined;
  readonly afterwards: NonNullable<RunWish['replace']>;
}

function replaceFindings(
  { machine, hypervisor, taken }: RunFacts,
  { old, original, afterwards }: Replaced,
): readonly Finding[] {
  if (!old) {
    const message = `${hypervisor} no longer has the machine "${machine.from.name}": no machine is replaced`;
    return [{ level: 'note', code: 'source-machine', message }];
  }
  const findings: Finding[] = [];
  const session = taken.find(({ uuid }) => isSame(uuid, old.id))?.session;
  if (session !== undefined) {
    findings.push({
      ...{ level: 'blocker', code: 'source-machine' },
      message: `the machine "${old.name}" belongs to session ${session}, and cannot be replaced`,
      remedy: `end that session ("holdfast session discard ${session}"), or give another name: --name`,
    });
  } else if (old.power !== 'off') {
    findings.push({
      ...{ level: 'blocker', code: 'source-machine' },
      message: `the machine "${old.name}", which is to be replaced, is ${old.power}`,
      remedy: `shut it down on ${hypervisor}, or give the recovered one another name: --name, without --replace`,
    });
  }
  if (old.id !== original?.id) {
    const message = `"${old.name}" (${old.id}) is not the machine that was backed up`;
    const found = { code: 'source-machine', message } as const;
    findings.push(
      afterwards === 'keep'
        ? { level: 'warning', ...found, remedy: 'make sure that it is the right one' }
        : { level: 'blocker', ...found, remedy: 'use --replace keep: it is only renamed' },
    );
  }
  return findings;
}
