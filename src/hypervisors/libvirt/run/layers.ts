import { basename, dirname } from 'node:path/posix';
import { LIBVIRT_CALLS } from '../../../formats/wire/libvirt-calls.ts';
import type { DiskPlace } from '../../base/run-driver.ts';
import { HypervisorError } from '../../base/hypervisor-error.ts';
import { all, attribute, first, parseXml, textOf, type XmlElement } from '../../base/xml.ts';
import type { LibvirtHost } from '../libvirt-host.ts';
import type { MadeMark } from './mark.ts';
import { isReservedFor } from './reserved-names.ts';

/*
 * Where a disk of a machine is: the only thing that decides whether what a session holds may be thrown away. So all of
 * its layers count, and a layer that cannot be looked at counts as ours.
 */

type Layer =
  | { readonly kind: 'nbd'; readonly name: string }
  | { readonly kind: 'path'; readonly path: string }
  | { readonly kind: 'other' };

export interface PlacedDisk {
  readonly name: string;
  readonly target: string;
  readonly place: DiskPlace;
  /** Ours, under a layer that a person, or another program, has put on top. */
  readonly isCovered: boolean;
}

interface Looking {
  /** Undefined: of no session (any longer); then any NBD server counts as ours. */
  readonly mark: MadeMark | undefined;
  readonly session: string;
  readonly machine: string;
  readonly signal: AbortSignal;
}

/** All disks that the session knows, and others that have something of ours. */
export async function placedDisks(
  host: LibvirtHost,
  definitions: readonly XmlElement[],
  looking: Looking,
): Promise<readonly PlacedDisk[]> {
  const places = new Map<string, DiskPlace>();
  const covered = new Set<string>();
  for (const definition of definitions) {
    for (const disk of all(first(definition, 'devices'), 'disk')) {
      const target = attribute(first(disk, 'target'), 'dev') ?? '';
      if (/^(cdrom|floppy)$/.test(attribute(disk, 'device') ?? 'disk')) continue;
      const layers = await layersOf(host, disk, looking);
      const place = placeOf(layers, looking);
      if (place === 'ours' && !isOwn(layers[0]!, looking)) covered.add(target);
      // Where it is now, and where it would be at its next start: as long as one of them is ours, it is needed.
      if (places.get(target) !== 'ours') places.set(target, place);
    }
  }
  const named = new Map(looking.mark?.disks.map(({ target, name }) => [target, name]));
  return [...places]
    .filter(([target, place]) => !looking.mark || named.has(target) || place === 'ours')
    .map(([target, place]) => {
      const name = named.get(target) ?? target;
      return { ...{ name, target, place }, isCovered: place === 'ours' && covered.has(target) };
    });
}

function placeOf(layers: readonly Layer[], looking: Looking): DiskPlace {
  if (layers.some((it) => isServed(it, looking))) return 'ours';
  return layers.some((it) => isTarget(it, looking)) ? 'target' : 'elsewhere';
}

function isServed(layer: Layer, { mark }: Looking): boolean {
  if (layer.kind !== 'nbd') return false;
  return !mark || mark.disks.some(({ served }) => served === layer.name);
}

function isTarget(layer: Layer, { session }: Looking): boolean {
  return layer.kind === 'path' && isReservedFor(session, basename(layer.path));
}

/** Whether what a guest writes to it is where the session expects it. */
function isOwn(layer: Layer, looking: Looking): boolean {
  return looking.mark?.writes === 'there' ? isTarget(layer, looking) : isServed(layer, looking);
}

async function layersOf(
  host: LibvirtHost,
  disk: XmlElement,
  looking: Looking,
): Promise<readonly Layer[]> {
  const layers: Layer[] = [];
  let last: XmlElement | undefined;
  for (let it: XmlElement | undefined = disk; it; it = first(it, 'backingStore')) {
    const layer = layerOf(it);
    if (layer) layers.push(layer);
    last = it;
  }
  // A machine that runs has its chain to the end; one that is off may have no more than its first layer.
  const isWhole = first(disk, 'backingStore') !== undefined || last !== disk;
  const top = layers[0];
  const format = attribute(first(disk, 'driver'), 'type') ?? 'raw';
  if (isWhole || !top || top.kind === 'nbd' || format === 'raw') return layers;
  // A volume that its pool names, or one on another protocol: what is below is not known.
  if (top.kind === 'other') return [...layers, unknownLayer(looking)];
  // Nothing of ours was ever below it, unless it was made over ours: then it says itself whether that is still so.
  const isCopy = looking.mark?.writes === 'here';
  if (isCopy && isReservedFor(looking.session, basename(top.path))) return layers;
  return [...layers, ...(await hiddenLayers(host, top.path, looking))];
}

function layerOf(of: XmlElement): Layer | undefined {
  const source = first(of, 'source');
  if (!source) return undefined;
  const path = attribute(source, 'file') ?? attribute(source, 'dev');
  if (path !== undefined) return { kind: 'path', path };
  if (attribute(source, 'protocol') !== 'nbd') return { kind: 'other' };
  return { kind: 'nbd', name: attribute(source, 'name') ?? '' };
}

/** It counts as ours. */
const unknownLayer = ({ mark }: Looking): Layer => ({
  kind: 'nbd',
  name: mark?.disks[0]?.served ?? '',
});

/** Longer chains than this are nothing that people make. */
const LAYERS_MAX = 64;

/** Those below an image, as the image itself names them. */
async function hiddenLayers(
  { link, withPool }: LibvirtHost,
  image: string,
  looking: Looking,
): Promise<readonly Layer[]> {
  const { mark, machine, signal } = looking;
  const layers: Layer[] = [];
  const unknown = unknownLayer(looking);
  let path = image;
  while (layers.length < LAYERS_MAX) {
    const directory = dirname(path);
    const name = basename(path);
    try {
      const xml = await withPool({ directory, machine, signal }, async (pool) => {
        const volume = await link.call(LIBVIRT_CALLS.volumeByName, { pool, name }, signal);
        return link.call(LIBVIRT_CALLS.volumeXml, { volume, flags: 0 }, signal);
      });
      const below = textOf(first(first(parseXml(xml, 'volume'), 'backingStore'), 'path'));
      if (below === undefined) return layers;
      if (!below.startsWith('/')) {
        const served = mark?.disks.find((it) => below.includes(it.served));
        if (served) return [...layers, { kind: 'nbd', name: served.served }];
        return [...layers, /\bnbd\b/.test(below) ? unknown : { kind: 'other' }];
      }
      layers.push({ kind: 'path', path: below });
      path = below;
    } catch (cause) {
      if (!(cause instanceof HypervisorError)) throw cause;
      if (cause.code === 'UNREACHABLE') throw cause;
      return [...layers, unknown];
    }
  }
  return [...layers, unknown];
}
