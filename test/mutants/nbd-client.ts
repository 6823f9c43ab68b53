import type { Mutant } from './mutant.ts';

const [BITMAPS, FRAGMENTED, HOSTILE, OLD, TLS, URI] = [
  ...[
    'nbd-bitmaps',
    'nbd-client',
    'nbd-hostile-server',
    'nbd-export-name',
    'nbd-client-tls',
    'nbd-uri',
  ],
].map((it) => `test/block/nbd-client/${it}.test.ts`) as [
  string,
  string,
  string,
  string,
  string,
  string,
];
const DISK = 'src/block/nbd-client/nbd-disk.ts';
const HANDSHAKE = 'src/block/nbd-client/nbd-handshake.ts';
const REPLIES = 'src/block/nbd-client/nbd-replies.ts';
const STATUS = 'src/block/nbd-client/nbd-status.ts';
const SECURED = 'src/sys/net/tls-client.ts';

export const nbdClient: readonly Mutant[] = [
  {
    name: 'NBD client: a block status as long as those of QEMU is too long',
    file: REPLIES,
    text: 'const STATUS_LENGTH_MAX = 4 + 8 * Math.floor((2 ** 32 - 1) / 4096);',
    to: 'const STATUS_LENGTH_MAX = 1024 * 1024;',
    tests: [FRAGMENTED],
  },
  {
    name: 'NBD client: the last context of a reply counts for all',
    file: REPLIES,
    text: 'asked.statuses.set(context, into',
    to: 'for (const it of contexts) asked.statuses.set(it, into',
    tests: [BITMAPS],
  },
  {
    name: 'NBD client: a status is not asked again from where the answer ends',
    file: STATUS,
    text: '      offset += count;\n',
    to: '      offset += count;\n      if (entry + EXTENT_LENGTH === status.length) offset = end;\n',
    tests: [BITMAPS, FRAGMENTED],
  },
  {
    name: 'NBD client: what a server does not answer for has not changed',
    file: STATUS,
    text: 'end, unknown: 1 }',
    to: 'end, unknown: 0 }',
    tests: [HOSTILE],
  },
  {
    name: 'NBD client: a server that answers with single bytes is asked without end',
    file: STATUS,
    text: ' || replies >= REPLIES_MAX',
    to: '',
    tests: [HOSTILE],
  },
  {
    name: 'NBD client: a bitmap that is not there has no changes',
    file: DISK,
    text: 'if (context === undefined) throw noBitmap(uri, bitmap, others);',
    to: 'if (context === undefined) return;',
    tests: [BITMAPS, OLD],
  },
  {
    name: 'NBD client: contexts that were not asked are taken',
    file: HANDSHAKE,
    text: '!isAsked || ',
    to: '',
    tests: [HOSTILE],
  },
  {
    name: 'NBD client: more data than was asked fills a read',
    file: REPLIES,
    text: 'return length === 0 || asked.filled > asked.length ? NOT_ASKED : undefined;',
    to: 'return undefined;',
    tests: [HOSTILE],
  },
  {
    name: 'NBD client: the zeroes behind EXPORT_NAME are taken for replies',
    file: HANDSHAKE,
    text: '(omits ? 0 : ZEROES_LENGTH)',
    to: '0',
    tests: [OLD],
  },
  {
    name: 'NBD client: a server that refuses TLS is read in the clear',
    file: HANDSHAKE,
    text: "  if (!answer.ok) {\n    throw new BlockError(\n      'IO',\n      `the NBD server refuses TLS",
    to: "  if (!answer.ok) return;\n  if (!answer.ok) {\n    throw new BlockError('IO', `the NBD server refuses TLS",
    tests: [TLS],
  },
  {
    name: 'NBD client: bytes in the clear behind STARTTLS are taken over',
    file: HANDSHAKE,
    text: 'if (options.rest().length > 0) {',
    to: 'if (options.rest().length < 0) {',
    tests: [TLS],
  },
  {
    name: 'NBD client: TLS parameters of a plain URI are passed over',
    file: 'src/block/nbd-client/nbd-uri.ts',
    text: '...(isTls ? TLS_PARAMETERS : [])',
    to: '...TLS_PARAMETERS',
    tests: [URI],
  },
  {
    name: 'TLS: each certificate is trusted',
    file: SECURED,
    text: 'if (isPinned || socket.authorized) return;',
    to: 'return;',
    tests: [TLS],
  },
  {
    name: 'TLS: a fingerprint beside an authority makes the authority needless',
    file: SECURED,
    text: 'fingerprint !== undefined && authority === undefined;',
    to: 'fingerprint !== undefined;',
    tests: [TLS],
  },
  {
    name: 'TLS: the fingerprint is not compared',
    file: SECURED,
    text: 'plainHex(found) !== plainHex(fingerprint)',
    to: 'found === fingerprint.slice(1)',
    tests: [TLS],
  },
  {
    name: 'TLS: the name in a certificate does not matter',
    file: SECURED,
    text: '(name === undefined ? {',
    to: '(name !== undefined ? {',
    tests: [TLS],
  },
  {
    name: 'TLS: a server that is silent in the middle of it is waited for',
    file: SECURED,
    text: 'next.setTimeout(silenceMs ?? 0,',
    to: 'next.setTimeout(0,',
    tests: [TLS],
  },
  {
    name: 'TLS: the silence that is allowed in the handshake ends what comes after',
    file: 'src/sys/net/network.ts',
    text: '      const limit = silenceMs;\n      stream.limitSilence(undefined);\n',
    to: '      const limit = silenceMs;\n',
    tests: [TLS],
  },
  {
    name: 'requests of other hosts may name keys and certificates of this one',
    file: 'src/operations/nouns/backup.ts',
    text: '^nbds?:\\/\\/[^?]*(?:',
    to: '^nbds?:\\/\\/.*(?:',
    tests: ['test/engine/secrets/tokens.test.ts'],
  },
];
