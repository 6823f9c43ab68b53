import { parseNbdUri } from '../../../block/nbd-client/nbd-uri.ts';
import { element, first, type XmlElement } from '../../base/xml.ts';
import type { ServedDisk } from '../../base/run-driver.ts';
import { HypervisorError } from '../../base/hypervisor-error.ts';
import { OUTSIDE } from './stored-disk.ts';

/* A disk of a machine that is what Holdfast serves over NBD. */

/**
 * A guest never learns that the server was away: the machine stops with the request, and goes on when it is resumed.
 * QEMU waits that long before, where libvirt can tell it so (9.5 or later; earlier ones ignore it).
 */
const RECONNECT_SECONDS = '10';

/** The address of a disk by which the host reaches it. Throws UNSUPPORTED. */
export function sourceFor({ name, urls }: ServedDisk): string {
  const socket = urls.find((it) => it.startsWith('nbd+unix:'));
  const found = socket ?? urls.find((it) => it.startsWith('nbd:'));
  if (found !== undefined) return found;
  throw new HypervisorError(
    'UNSUPPORTED',
    `the disk ${name} is served at ${urls.join(', ') || 'no address'}, and a machine of libvirt takes it over NBD ` +
      'without TLS: let the session listen on an address of a network that only the hypervisor is in',
  );
}

/** The export's name, and where it is. */
export function exportOf(source: string) {
  return parseNbdUri(source);
}

/** A volume of the host's over what is served at `source`. */
export interface VolumeOver {
  readonly path: string;
  readonly source: string;
}

/** `before`: as the disk was; its bus, address, serial and the rest stay. */
export function servedDisk(before: XmlElement, source: string): XmlElement {
  return element(
    'disk',
    { type: 'network', device: 'disk' },
    driverOf(before, 'raw'),
    sourceAt(source),
    ...keptOf(before),
  );
}

/** The same. All of its layers are named: nothing is looked for in images, which a guest may have written. */
export function diskOver(before: XmlElement, { path, source }: VolumeOver): XmlElement {
  return element(
    'disk',
    { type: 'file', device: 'disk' },
    driverOf(before, 'qcow2'),
    element('source', { file: path }),
    element(
      'backingStore',
      { type: 'network' },
      element('format', { type: 'raw' }),
      sourceAt(source),
      element('backingStore', {}),
    ),
    ...keptOf(before),
  );
}

/** A machine whose disk has an error stops, and its guest does not learn of it. */
function driverOf(before: XmlElement, type: 'raw' | 'qcow2'): XmlElement {
  const driver = first(before, 'driver')?.attributes ?? {};
  const policies = { error_policy: 'stop', rerror_policy: 'stop' };
  return element('driver', { ...driver, ...{ name: 'qemu', type }, ...policies });
}

function sourceAt(source: string): XmlElement {
  const { name, address } = exportOf(source);
  const place =
    address.kind === 'unix'
      ? { transport: 'unix', socket: address.path }
      : { name: address.host, port: String(address.port) };
  return element(
    'source',
    { protocol: 'nbd', name },
    element('host', place),
    element('reconnect', { delay: RECONNECT_SECONDS }),
  );
}

const keptOf = ({ children }: XmlElement): XmlElement['children'] =>
  children.filter((it) => typeof it === 'string' || !OUTSIDE.includes(it.name));
