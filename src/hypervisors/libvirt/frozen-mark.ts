import { LIBVIRT_ERRORS, type LibvirtDomain } from '../../formats/wire/libvirt.ts';
import { LIBVIRT_CALLS, LIBVIRT_FLAGS } from '../../formats/wire/libvirt-calls.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { attribute, element, parseXml, writeXml } from '../base/xml.ts';
import type { CallOptions } from './calls.ts';
import { isNumber } from './libvirt-error.ts';
import type { LibvirtHost } from './libvirt-host.ts';

/*
 * The mark of a machine whose guest we have frozen, or are about to: metadata of the running domain, which libvirt
 * keeps over its own restart, and forgets when the machine is turned off.
 */

const NAMESPACE = 'https://holdfast.invalid/libvirt/1';
const PREFIX = 'holdfast';
const UNMARK_MS = 30_000;

/** One that may have been set, though the answer was lost, is taken away. */
export async function mark(
  host: Pick<LibvirtHost, 'link' | 'owner'>,
  domain: LibvirtDomain,
  signal: AbortSignal,
): Promise<void> {
  const text = writeXml(element('frozen', { by: host.owner }));
  try {
    await setMark(host, domain, { text, signal });
  } catch (cause) {
    await unmark(host, domain);
    throw cause;
  }
}

/** A mark that stays costs the next backup one order to thaw. A machine that is gone, or was turned off, has none. */
export async function unmark(
  host: Pick<LibvirtHost, 'link'>,
  domain: LibvirtDomain,
): Promise<void> {
  try {
    await setMark(host, domain, { text: undefined, timeoutMs: UNMARK_MS });
  } catch (cause) {
    if (!(cause instanceof HypervisorError)) throw cause;
  }
}

interface NewMark extends CallOptions {
  /** Undefined: none. */
  readonly text: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

function setMark(
  { link }: Pick<LibvirtHost, 'link'>,
  domain: LibvirtDomain,
  { text, signal, timeoutMs }: NewMark,
): Promise<unknown> {
  return link.call(
    LIBVIRT_CALLS.setMetadata,
    {
      ...{ domain, type: LIBVIRT_FLAGS.metadataType.element, metadata: text },
      ...{ key: PREFIX, uri: NAMESPACE, flags: LIBVIRT_FLAGS.setMetadata.live },
    },
    signal,
    { timeoutMs },
  );
}

export async function isMarked(
  { link, owner }: Pick<LibvirtHost, 'link' | 'owner'>,
  domain: LibvirtDomain,
  signal: AbortSignal,
): Promise<boolean> {
  const type = LIBVIRT_FLAGS.metadataType.element;
  const asked = { domain, type, uri: NAMESPACE, flags: LIBVIRT_FLAGS.metadata.live };
  try {
    const text = await link.call(LIBVIRT_CALLS.metadata, asked, signal);
    return attribute(parseXml(text, 'frozen'), 'by') === owner;
  } catch (cause) {
    const isNone =
      isNumber(cause, LIBVIRT_ERRORS.noMetadata) ||
      isNumber(cause, LIBVIRT_ERRORS.operationInvalid);
    if (!isNone) throw cause;
    return false;
  }
}
