import { deepEqual, equal, throws } from 'node:assert/strict';
import { test } from 'tap';
import {
  all,
  attribute,
  element,
  first,
  parseXml,
  textOf,
  writeXml,
} from '../../../src/hypervisors/base/xml.ts';

test('what is read is written back with the same meaning', async () => {
  const text =
    '<domain type="kvm" xmlns:qemu="http://q"><name>a &amp; b&#10;c</name><devices><disk/><disk dev="&quot;x&#9;"/>' +
    '</devices><qemu:commandline><qemu:arg value="&lt;"/></qemu:commandline><d><![CDATA[<x>]]></d></domain>';
  const domain = parseXml(text, 'domain');
  equal(textOf(first(domain, 'name')), 'a & b\nc');
  equal(all(first(domain, 'devices'), 'disk').length, 2);
  equal(attribute(all(first(domain, 'devices'), 'disk')[1], 'dev'), '"x\t');
  equal(textOf(first(domain, 'd')), '<x>');
  deepEqual(parseXml(writeXml(domain), 'domain'), domain);
});

test('elements that are made leave out what is undefined', async () => {
  const made = element('disk', { name: 'v&a', none: undefined }, undefined, element('x', {}), '<');
  equal(writeXml(made), '<disk name="v&amp;a"><x/>&lt;</disk>');
});

test('names that objects have are not attributes or elements', async () => {
  const read = parseXml('<a __proto__="1" constructor="2"/>', 'a');
  equal(attribute(read, 'toString'), undefined);
  equal(attribute(read, 'constructor'), '2');
});

const WRONG: Readonly<Record<string, string>> = {
  'a text that was cut': '<a><b></b>',
  'a tag that is closed in the wrong order': '<a><b></a></b>',
  'two documents': '<a/><a/>',
  'text after the end': '<a/>x',
  'an entity that is not declared': '<a>&nope;</a>',
  'a document type': '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
  'another element': '<b/>',
  nothing: '',
  'a tree that is too deep': '<a>'.repeat(300) + '</a>'.repeat(300),
  'an attribute twice': '<a x="1" x="2"/>',
};

test('all else is refused, with the place', async (t) => {
  for (const [what, text] of Object.entries(WRONG)) {
    await t.test(what, async () => {
      throws(() => parseXml(text, 'a'), { name: 'HypervisorError', code: 'FAILED' });
    });
  }
});
