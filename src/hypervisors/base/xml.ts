import { SaxesParser } from 'saxes';
import { HypervisorError } from './hypervisor-error.ts';

/*
 * XML as hypervisors speak it: a small tree that can be changed and written back. Whatever is not well-formed to its
 * last character is refused: a cut answer must not pass for a whole one. Prefixes stay part of names.
 */

export interface XmlElement {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: readonly XmlNode[];
}

/** A text is as it reads: without references. */
export type XmlNode = XmlElement | string;

const LENGTH_MAX = 32 * 1024 * 1024;
const NODES_MAX = 500_000;
const DEPTH_MAX = 256;

interface Open {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: XmlNode[];
}

/** The document's element, of that name. Throws HypervisorError FAILED. */
export function parseXml(text: string, name: string): XmlElement {
  if (text.length > LENGTH_MAX) throw bad(`it has ${text.length} characters`);
  const parser = new SaxesParser();
  const path: Open[] = [];
  let root: XmlElement | undefined;
  let nodes = 0;
  function add(node: XmlNode): void {
    if (++nodes > NODES_MAX) throw bad(`it has more than ${NODES_MAX} parts`);
    path.at(-1)?.children.push(node);
  }
  parser.on('error', (error) => {
    throw bad(error.message);
  });
  parser.on('doctype', () => {
    throw bad('it has a document type declaration');
  });
  parser.on('opentag', ({ name: tag, attributes }) => {
    const element: Open = { name: tag, attributes: { ...attributes }, children: [] };
    add(element);
    path.push(element);
    if (path.length > DEPTH_MAX) throw bad(`it is nested more than ${DEPTH_MAX} deep`);
  });
  const onText = (it: string): void => {
    if (path.length > 0 && it !== '') add(it);
  };
  parser.on('text', onText);
  parser.on('cdata', onText);
  parser.on('closetag', () => {
    const closed = path.pop();
    if (path.length === 0) root = closed;
  });
  parser.write(text).close();
  if (root?.name === name) return root;
  throw bad(`it is <${root?.name ?? ''}>, not <${name}>`);
}

function bad(why: string): HypervisorError {
  return new HypervisorError('FAILED', `the hypervisor's XML cannot be read: ${why}`);
}

export function writeXml({ name, attributes, children }: XmlElement): string {
  const start = Object.entries(attributes).map(([key, value]) => ` ${key}="${escaped(value)}"`);
  const open = `<${name}${start.join('')}`;
  if (children.length === 0) return `${open}/>`;
  const inner = children.map((it) => (typeof it === 'string' ? escaped(it) : writeXml(it)));
  return `${open}>${inner.join('')}</${name}>`;
}

const ESCAPES: Readonly<Record<string, string>> = {
  ...{ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' },
  // A reader would turn them into spaces, in attributes.
  ...{ '\t': '&#9;', '\n': '&#10;', '\r': '&#13;' },
};

function escaped(text: string): string {
  return text.replaceAll(/[&<>"\t\n\r]/g, (it) => ESCAPES[it]!);
}

/** Attributes and children that are undefined are left out. */
export function element(
  name: string,
  attributes: Readonly<Record<string, string | undefined>>,
  ...children: readonly (XmlNode | undefined)[]
): XmlElement {
  const given = Object.entries(attributes).filter(([, value]) => value !== undefined);
  return {
    name,
    attributes: Object.fromEntries(given) as Record<string, string>,
    children: children.filter((it) => it !== undefined),
  };
}

/** All children of that name. */
export function all(parent: XmlElement | undefined, name: string): readonly XmlElement[] {
  return (parent?.children ?? []).filter(
    (it): it is XmlElement => typeof it !== 'string' && it.name === name,
  );
}

/** The first child of that name. */
export function first(parent: XmlElement | undefined, name: string): XmlElement | undefined {
  return all(parent, name)[0];
}

export function attribute(of: XmlElement | undefined, name: string): string | undefined {
  return of && Object.hasOwn(of.attributes, name) ? of.attributes[name] : undefined;
}

/** All its text without spaces around it; undefined: there is no element, or no text. */
export function textOf(of: XmlElement | undefined): string | undefined {
  const text = (of?.children ?? [])
    .filter((it) => typeof it === 'string')
    .join('')
    .trim();
  return text === '' ? undefined : text;
}
