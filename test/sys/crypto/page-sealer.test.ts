import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import * as fc from 'fast-check';
import { test } from 'tap';
import { evp } from '../../../src/sys/crypto/evp.ts';
import { cryptoSource, pageSealer, sourceThatWorks } from '../../../src/sys/crypto/page-sealer.ts';

type Sealer = ReturnType<typeof pageSealer>;

const SUITES = [1, 2] as const;
const SOURCES = ['evp', 'node'] as const;
const KEY = Uint8Array.from({ length: 32 }, (_, at) => at);

function sealed(
  sealer: Sealer,
  message: { readonly iv: Uint8Array; readonly aad: Uint8Array; readonly plain: Uint8Array },
): { readonly body: Uint8Array; readonly tag: Uint8Array } {
  const tag = new Uint8Array(16);
  // Longer than the contents: its rest stays as it is.
  const into = new Uint8Array(message.plain.length + 40).fill(0xee);
  sealer.seal(message.iv, message.aad, message.plain, into, tag);
  ok(into.subarray(message.plain.length).every((byte) => byte === 0xee));
  return { body: into.subarray(0, message.plain.length), tag };
}

const bytes = (limits: { minLength: number; maxLength: number }) =>
  fc.uint8Array({ ...limits, size: 'max' });
const messages = fc.record({
  key: bytes({ minLength: 32, maxLength: 32 }),
  iv: bytes({ minLength: 12, maxLength: 12 }),
  aad: bytes({ minLength: 1, maxLength: 60 }),
  plain: fc.oneof(
    bytes({ minLength: 1, maxLength: 100 }),
    fc
      .tuple(fc.constantFrom(4096, 16_384), fc.nat())
      .map(([length, seed]) =>
        Uint8Array.from({ length }, (_, at) => Math.imul(at + seed, 0x9e3779b1) >>> 24),
      ),
  ),
});

test('this Node exports what page sealing calls, and that passes the probe', async () => {
  ok(evp());
  equal(cryptoSource(), process.env['HOLDFAST_CRYPTO'] === 'node' ? 'node' : 'evp');
  equal(
    sourceThatWorks((key, suite) => pageSealer(key, suite, 'evp')),
    'evp',
  );
  equal(
    sourceThatWorks((key, suite) => pageSealer(key, suite, 'node')),
    'evp',
  );
});

test('HOLDFAST_CRYPTO=node makes the process take node:crypto', async () => {
  const module = new URL('../../../src/sys/crypto/page-sealer.ts', import.meta.url).href;
  const script = `const { cryptoSource } = await import('${module}'); console.log(cryptoSource())`;
  for (const [value, source] of [
    ['node', 'node'],
    ['', 'evp'],
  ] as const) {
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      env: { ...process.env, HOLDFAST_CRYPTO: value },
      encoding: 'utf8',
    });
    equal(stdout.trim(), source);
  }
});

test('OpenSSL and node:crypto make the same bytes of everything and open what the other made', async () => {
  fc.assert(
    fc.property(messages, fc.constantFrom(...SUITES), ({ key, ...message }, suite) => {
      using direct = pageSealer(key, suite, 'evp');
      using node = pageSealer(key, suite, 'node');
      const made = sealed(direct, message);
      deepEqual(sealed(node, message), made);
      equal(Buffer.compare(made.body, message.plain) === 0, suite === 1);
      for (const sealer of [direct, node, direct]) {
        const into = new Uint8Array(message.plain.length);
        const longer = Buffer.concat([made.body, Buffer.alloc(40, 1)]);
        equal(sealer.open(message.iv, message.aad, longer, made.tag, into), true);
        deepEqual(into, message.plain);
      }
    }),
    { numRuns: 60 },
  );
});

for (const source of SOURCES) {
  for (const suite of SUITES) {
    const name = `${source}, suite ${suite}`;

    test(`one bit anywhere keeps a message closed and shows nothing of it: ${name}`, async () => {
      fc.assert(
        fc.property(messages, fc.nat(), ({ key, ...message }, bit) => {
          using sealer = pageSealer(key, suite, source);
          const { body, tag } = sealed(sealer, message);
          const parts = { iv: message.iv, aad: message.aad, body, tag };
          for (const part of Object.keys(parts) as (keyof typeof parts)[]) {
            const altered = { ...parts, [part]: Uint8Array.from(parts[part]) };
            altered[part][(bit >> 3) % altered[part].length]! ^= 1 << (bit & 7);
            const into = new Uint8Array(body.length).fill(7);
            const { iv, aad } = altered;
            equal(sealer.open(iv, aad, altered.body, altered.tag, into), false, part);
            ok(
              into.every((byte) => byte === 0),
              `${part}: something is left`,
            );
          }
          using other = pageSealer(
            key.map((byte, at) => (at === bit % 32 ? byte ^ 1 : byte)),
            suite,
            source,
          );
          const into = new Uint8Array(body.length);
          equal(other.open(message.iv, message.aad, body, tag, into), false);
          if (body.length > 1) {
            equal(sealer.open(message.iv, message.aad, body, tag, into.subarray(1)), false);
          }
          // What failed leaves nothing behind in the context.
          equal(sealer.open(message.iv, message.aad, body, tag, into), true);
          deepEqual(into, message.plain);
        }),
        { numRuns: 30 },
      );
    });

    test(`lengths that would reach beyond memory are refused: ${name}`, async () => {
      using sealer = pageSealer(KEY, suite, source);
      const [iv, aad, tag, page] = [12, 20, 16, 4096].map((length) => new Uint8Array(length)) as [
        Uint8Array,
        Uint8Array,
        Uint8Array,
        Uint8Array,
      ];
      const refusal = { name: 'InvariantError' };
      throws(() => pageSealer(KEY.subarray(1), suite, source), refusal);
      throws(() => sealer.seal(iv.subarray(1), aad, page, page.slice(), tag), refusal);
      throws(() => sealer.seal(iv, aad, page, page.slice(1), tag), refusal);
      throws(() => sealer.seal(iv, aad, page, page.slice(), tag.subarray(1)), refusal);
      throws(() => sealer.seal(iv, aad, page.subarray(4096), page.slice(), tag), refusal);
      throws(() => sealer.open(iv, aad, page.subarray(1), tag, page.slice()), refusal);
      throws(() => sealer.open(iv, aad, page, tag.subarray(1), page.slice()), refusal);
      throws(() => sealer.open(iv.subarray(1), aad, page, tag, page.slice()), refusal);
    });

    test(`a sealer that was disposed of is refused, as often as it is: ${name}`, async () => {
      const sealer = pageSealer(KEY, suite, source);
      const message = { iv: new Uint8Array(12), aad: new Uint8Array(20), plain: KEY };
      const { body, tag } = sealed(sealer, message);
      sealer.open(message.iv, message.aad, body, tag, new Uint8Array(32));
      sealer[Symbol.dispose]();
      sealer[Symbol.dispose]();
      throws(() => sealed(sealer, message), { name: 'InvariantError' });
      throws(() => sealer.open(message.iv, message.aad, body, tag, new Uint8Array(32)), {
        name: 'InvariantError',
      });
    });
  }
}

/** A sealer with one fault, over one that has none. */
const FAULTS: Readonly<Record<string, (sealer: Sealer) => Partial<Sealer>>> = {
  'takes any tag': (sealer) => ({
    open(iv, aad, body, tag, into) {
      sealer.open(iv, aad, body, tag, into);
      return true;
    },
  }),
  'opens nothing': () => ({ open: () => false }),
  'looks at a part of the tag only': (sealer) => ({
    open(iv, aad, body, tag, into) {
      if (sealer.open(iv, aad, body, tag, into)) return true;
      const other = Uint8Array.from(tag);
      other[15]! ^= 1;
      return sealer.open(iv, aad, body, other, into);
    },
  }),
  'does not authenticate what goes along': (sealer) => ({
    seal: (iv, _aad, plain, into, tag) => sealer.seal(iv, new Uint8Array(1), plain, into, tag),
    open: (iv, _aad, body, tag, into) => sealer.open(iv, new Uint8Array(1), body, tag, into),
  }),
  'takes the same IV each time': (sealer) => ({
    seal: (_iv, aad, plain, into, tag) => sealer.seal(new Uint8Array(12), aad, plain, into, tag),
    open: (_iv, aad, body, tag, into) => sealer.open(new Uint8Array(12), aad, body, tag, into),
  }),
  'writes less than it should': (sealer) => ({
    seal(iv, aad, plain, into, tag) {
      sealer.seal(iv, aad, plain, into, tag);
      into[plain.length - 1] = 0;
    },
  }),
  'makes a shorter tag': (sealer) => ({
    seal(iv, aad, plain, into, tag) {
      sealer.seal(iv, aad, plain, into, tag);
      tag[15] = 0;
    },
  }),
  'opens what is cut short': (sealer) => ({
    open(iv, aad, body, tag, into) {
      const whole = new Uint8Array(body.length);
      if (!sealer.open(iv, aad, body, tag, whole)) return false;
      into.set(whole.subarray(0, into.length));
      return true;
    },
  }),
  'always throws': () => ({
    seal() {
      throw new Error('no memory');
    },
  }),
};

for (const [fault, alter] of Object.entries(FAULTS)) {
  test(`node:crypto is taken where the library ${fault}`, async () => {
    for (const suite of SUITES) {
      const source = sourceThatWorks((key, asked) => {
        const sealer = pageSealer(key, asked, 'node');
        return asked === suite ? { ...sealer, ...alter(sealer) } : sealer;
      });
      equal(source, 'node', `suite ${suite}`);
    }
  });
}

test('node:crypto is taken where the library has one key for all', async () => {
  for (const suite of SUITES) {
    let first: Uint8Array | undefined;
    const source = sourceThatWorks((key, asked) => {
      if (asked === suite) first ??= key;
      return pageSealer(asked === suite ? first! : key, asked, 'node');
    });
    equal(source, 'node', `suite ${suite}`);
  }
});
