import type { LibvirtDomain } from '../../../formats/wire/libvirt.ts';
import { LIBVIRT_CALLS, LIBVIRT_FLAGS } from '../../../formats/wire/libvirt-calls.ts';
import {
  all,
  attribute,
  element,
  first,
  textOf,
  writeXml,
  type XmlElement,
} from '../../base/xml.ts';
import type { WritesTo } from '../../base/run-driver.ts';
import type { LibvirtHost } from '../libvirt-host.ts';

/*
 * By which a machine is known as a session's: an element of our own in the metadata of its definition, which libvirt
 * keeps verbatim. One namespace holds one element, so a machine is either made for a session or set aside for one.
 */

export type RunMark = MadeMark | AsideMark;

/** The machine was made for that session. */
export interface MadeMark {
  readonly kind: 'made';
  readonly session: string;
  /** Whether its disks were begun to be copied: one that has no copy then has lost it. */
  readonly isMoving: boolean;
  /** The disk that was begun last to take all that it lacks; undefined: none. */
  readonly pulled: string | undefined;
  readonly writes: WritesTo;
  readonly disks: readonly MarkedDisk[];
}

export interface MarkedDisk {
  readonly name: string;
  /** Where the guest sees it: `vda`. */
  readonly target: string;
  /** The export that it began on, or over. */
  readonly served: string;
  /** What the definition said about errors before; undefined: nothing. */
  readonly errorPolicy: string | undefined;
  readonly readErrorPolicy: string | undefined;
}

/** The machine's place is taken by that session's. */
export interface AsideMark {
  readonly kind: 'aside';
  readonly session: string;
  /** Its old name. */
  readonly name: string;
  /** Whether it started with the host. */
  readonly autostart: boolean;
  /** Definitions of its checkpoints, parents first, while it is renamed. */
  readonly checkpoints: readonly string[];
}

const NAMESPACE = 'https://holdfast.invalid/libvirt/run/1';
const PREFIX = 'holdfast-run';

/** As a part of `<metadata>`. */
export function markElement(mark: RunMark): XmlElement {
  const { name, attributes, children } = plainElement(mark);
  return {
    name: `${PREFIX}:${name}`,
    attributes: { [`xmlns:${PREFIX}`]: NAMESPACE, ...attributes },
    children,
  };
}

/** Only the element itself has our prefix. */
function plainElement(mark: RunMark): XmlElement {
  const { kind, session } = mark;
  if (kind === 'made') {
    const moving = mark.isMoving ? 'yes' : undefined;
    const disks = mark.disks.map(({ errorPolicy, readErrorPolicy, ...it }) =>
      element('disk', { ...it, error: errorPolicy, read: readErrorPolicy }),
    );
    const writes = mark.writes === 'there' ? mark.writes : undefined;
    return element(kind, { session, moving, writes, pulled: mark.pulled }, ...disks);
  }
  const autostart = mark.autostart ? 'yes' : undefined;
  const saved = mark.checkpoints.map((it) => element('checkpoint', {}, it));
  return element(kind, { session, name: mark.name, autostart }, ...saved);
}

/** The mark in a definition; undefined: the machine is not of a session. */
export function markIn(domain: XmlElement): RunMark | undefined {
  const marks = (first(domain, 'metadata')?.children ?? []).filter(isMark);
  for (const it of marks) {
    const session = attribute(it, 'session');
    if (session === undefined) continue;
    if (it.name === `${PREFIX}:made`) return madeIn(it, session);
    const name = attribute(it, 'name');
    if (it.name !== `${PREFIX}:aside` || name === undefined) continue;
    return {
      ...{ kind: 'aside', session, name, autostart: attribute(it, 'autostart') === 'yes' },
      checkpoints: partsOf(it, 'checkpoint').flatMap((saved) => textOf(saved) ?? []),
    };
  }
  return undefined;
}

function madeIn(mark: XmlElement, session: string): MadeMark {
  const disks = partsOf(mark, 'disk').map((it) => ({
    name: attribute(it, 'name') ?? '',
    target: attribute(it, 'target') ?? '',
    served: attribute(it, 'served') ?? '',
    errorPolicy: attribute(it, 'error'),
    readErrorPolicy: attribute(it, 'read'),
  }));
  const isMoving = attribute(mark, 'moving') === 'yes';
  const writes = attribute(mark, 'writes') === 'there' ? 'there' : 'here';
  return { kind: 'made', session, isMoving, writes, pulled: attribute(mark, 'pulled'), disks };
}

/** libvirt gives all parts of an element the prefix of the whole, if it is set by a call of its own. */
function partsOf(mark: XmlElement, name: string): readonly XmlElement[] {
  return [...all(mark, name), ...all(mark, `${PREFIX}:${name}`)];
}

/** Whether it is of ours, of this driver or of another part of it. */
export function isMark(it: XmlElement | string): it is XmlElement {
  return typeof it !== 'string' && /^holdfast(-run)?:/.test(it.name);
}

/** Undefined takes it away. `isOn`: from the machine that runs too. */
export async function setMark(
  { link }: LibvirtHost,
  domain: LibvirtDomain,
  {
    mark,
    isOn,
    signal,
  }: {
    readonly mark: RunMark | undefined;
    readonly isOn: boolean;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { live, config } = LIBVIRT_FLAGS.setMetadata;
  await link.call(
    LIBVIRT_CALLS.setMetadata,
    {
      ...{ domain, type: LIBVIRT_FLAGS.metadataType.element },
      metadata: mark && writeXml(plainElement(mark)),
      ...{ key: PREFIX, uri: NAMESPACE, flags: isOn ? live | config : config },
    },
    signal,
  );
}
