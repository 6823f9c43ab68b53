/* What someone who can write to a store, or who runs a hypervisor, may write where a name or a text belongs. */

export const HOSTILE_NAMES: readonly string[] = [
  ...['', '.', '..', '/', '../../../evil', '/etc/x', 'a/b', 'a/../../b', '.hidden', '-rf'],
  ...['a\0b', 'a\nb', 'a b', "a'b", 'a"b', 'a<b', 'a&b', 'a;b', 'a$b', 'a\\b', 'ä', '\ud800'],
  'x'.repeat(10_000),
];

export const HOSTILE_TEXTS: readonly string[] = [
  ...HOSTILE_NAMES,
  ...[
    "'/><evil x='",
    '"/><evil x="',
    '--><evil/><!--',
    ']]>',
    '<![CDATA[',
    '&evil;',
    '&#0;',
    '&#xD800;',
  ],
  ...[
    '"\nevil = "x',
    'x\r\nevil = "x"',
    '|22|0Aevil = |22x',
    '\u0000',
    '\u0001\u001b[2J',
    '\u0085',
    '\u2028',
  ],
  ...[
    '\uFFFE',
    '\uFFFF',
    '\uD800',
    '\uDC00\uD800',
    '\u202e',
    '😀',
    '$(evil)',
    '`evil`',
    ',evil=1',
    '%00',
  ],
  '\u0000'.repeat(4096),
  '😀'.repeat(3000),
  'ü'.repeat(4095),
  'x'.repeat(10_000_000),
];
