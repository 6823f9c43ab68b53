import { createCipheriv, createDecipheriv, createSecretKey } from 'node:crypto';
import { assert } from '../../lib/assert.ts';
import { evp, type EvpContext } from './evp.ts';

/*
 * AES-256-GCM of pages at the lowest cost: with OpenSSL's own functions (evp.ts) and one context per key, a page
 * takes a quarter of the time that it takes with node:crypto. Suite 1 takes the contents as associated data and
 * stores them unencrypted. Both ways give the same bytes. node:crypto is used if OpenSSL's functions are not exported
 * or do not pass the probe, or if HOLDFAST_CRYPTO=node is set.
 */
export interface PageSealer extends Disposable {
  /**
   * Writes the sealed form of `plain` to the start of `into` (separate memory, which may be longer), and the tag to
   * `tag` (16 bytes). The caller ensures that `iv` (12 bytes) is never used twice under a key. Throws if the library
   * fails; nothing is sealed then.
   */
  seal(iv: Uint8Array, aad: Uint8Array, plain: Uint8Array, into: Uint8Array, tag: Uint8Array): void;
  /** Fills `into` from as many bytes at the start of `sealed`. False: the tag does not match, and `into` is zeros. */
  open(
    iv: Uint8Array,
    aad: Uint8Array,
    sealed: Uint8Array,
    tag: Uint8Array,
    into: Uint8Array,
  ): boolean;
}

/** 1: authenticated, not encrypted. 2: encrypted. */
type Suite = 1 | 2;
export type CryptoSource = 'evp' | 'node';

const KEY_LENGTH = 32;
const IV_LENGTH = 12;
const TAG_LENGTH = 16;
const ALGORITHM = 'aes-256-gcm';
const OPTIONS = { authTagLength: TAG_LENGTH };

let chosen: CryptoSource | undefined;

/** The implementation that this process uses; chosen once. */
export function cryptoSource(): CryptoSource {
  return (chosen ??=
    process.env['HOLDFAST_CRYPTO'] === 'node' ? 'node' : sourceThatWorks(evpSealer));
}

/** `key` has 32 bytes; the only copy is in memory that disposing frees. */
export function pageSealer(
  key: Uint8Array,
  suite: Suite,
  source: CryptoSource = cryptoSource(),
): PageSealer {
  assert(key.length === KEY_LENGTH, `key of ${key.length} bytes`);
  return source === 'evp' ? evpSealer(key, suite) : nodeSealer(key, suite);
}

/** 'node' if the results of `sealer` differ from the published ones of AES-256-GCM. */
export function sourceThatWorks(
  sealer: (key: Uint8Array, suite: Suite) => PageSealer,
): CryptoSource {
  try {
    return passes(sealer) ? 'evp' : 'node';
  } catch {
    return 'node';
  }
}

function evpSealer(key: Uint8Array, suite: Suite): PageSealer {
  // Two: a context has one direction. Most keys belong to files that are only read.
  const { encryption, decryption } = evp();
  const own = Uint8Array.from(key);
  let sealing: EvpContext | undefined;
  let opening: EvpContext | undefined;
  let isOpen = true;

  return {
    seal(iv, aad, plain, into, tag) {
      checkLengths(isOpen, iv, tag, plain, into);
      sealing ??= encryption(own);
      sealing.begin(iv, aad);
      if (suite === 2) {
        sealing.update(plain, into, plain.length);
      } else {
        sealing.authenticate(plain);
        into.set(plain);
      }
      sealing.end(tag);
    },
    open(iv, aad, sealed, tag, into) {
      checkLengths(isOpen, iv, tag, into, sealed);
      opening ??= decryption(own);
      opening.begin(iv, aad);
      if (suite === 2) {
        opening.update(sealed, into, into.length);
      } else {
        into.set(start(sealed, into.length));
        opening.authenticate(into);
      }
      if (opening.verify(tag)) return true;
      into.fill(0);
      return false;
    },
    [Symbol.dispose]() {
      isOpen = false;
      sealing?.free();
      opening?.free();
      sealing = undefined;
      opening = undefined;
      own.fill(0);
    },
  };
}

function nodeSealer(key: Uint8Array, suite: Suite): PageSealer {
  const secret = createSecretKey(key);
  let isOpen = true;
  return {
    seal(iv, aad, plain, into, tag) {
      checkLengths(isOpen, iv, tag, plain, into);
      const cipher = createCipheriv(ALGORITHM, secret, iv, OPTIONS);
      cipher.setAAD(aad);
      if (suite === 2) {
        into.set(cipher.update(plain));
      } else {
        cipher.setAAD(plain);
        into.set(plain);
      }
      cipher.final();
      tag.set(cipher.getAuthTag());
    },
    open(iv, aad, sealed, tag, into) {
      checkLengths(isOpen, iv, tag, into, sealed);
      const cipher = createDecipheriv(ALGORITHM, secret, iv, OPTIONS);
      const body = start(sealed, into.length);
      cipher.setAAD(aad);
      cipher.setAuthTag(tag);
      if (suite === 1) cipher.setAAD(body);
      const plain = suite === 2 ? cipher.update(body) : body;
      try {
        cipher.final();
      } catch {
        into.fill(0);
        return false;
      }
      into.set(plain);
      return true;
    },
    [Symbol.dispose]() {
      isOpen = false;
    },
  };
}

/** OpenSSL reads and writes the length that it is given, regardless of the memory's length. */
function checkLengths(
  isOpen: boolean,
  iv: Uint8Array,
  tag: Uint8Array,
  plain: Uint8Array,
  sealed: Uint8Array,
): void {
  assert(isOpen, 'page sealer used after it was disposed of');
  assert(iv.length === IV_LENGTH && tag.length === TAG_LENGTH, 'IV or tag of another length');
  assert(plain.length > 0 && sealed.length >= plain.length, 'less room than contents');
}

function start(bytes: Uint8Array, length: number): Uint8Array {
  return bytes.length === length ? bytes : bytes.subarray(0, length);
}

interface KnownAnswer {
  readonly suite: Suite;
  readonly key: string;
  readonly iv: string;
  readonly aad: string;
  readonly plain: string;
  readonly sealed: string;
  readonly tag: string;
}

const KNOWN_ANSWERS: readonly KnownAnswer[] = [
  {
    // McGrew and Viega, "The Galois/Counter Mode of Operation", test case 16.
    suite: 2,
    key: 'feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308',
    iv: 'cafebabefacedbaddecaf888',
    aad: 'feedfacedeadbeeffeedfacedeadbeefabaddad2',
    plain:
      'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72' +
      '1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
    sealed:
      '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa' +
      '8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662',
    tag: '76fc6ece0f4e1768cddf8853bb2d551b',
  },
  {
    // NIST CAVP, gcmEncryptExtIV256.rsp: the first vector without plain text and with 128 bits of associated data,
    // which is split in two here.
    suite: 1,
    key: '78dc4e0aaf52d935c3c01eea57428f00ca1fd475f5da86a49c8dd73d68c8e223',
    iv: 'd79cf22d504cc793c3fb6c8a',
    aad: 'b96baa8c',
    plain: '1c75a671bfb2d08d06be5f36',
    sealed: '1c75a671bfb2d08d06be5f36',
    tag: '3e5d486aa2e30b22e040b85723a06e76',
  },
];

/** Checks known answers, and that data altered, truncated or under another key does not open. */
function passes(sealer: (key: Uint8Array, suite: Suite) => PageSealer): boolean {
  return KNOWN_ANSWERS.every((answer) => {
    const [key, iv, aad] = [hex(answer.key), hex(answer.iv), hex(answer.aad)];
    const [plain, sealed, tag] = [hex(answer.plain), hex(answer.sealed), hex(answer.tag)];
    using good = sealer(key, answer.suite);
    using other = sealer(flipped(key), answer.suite);
    const into = new Uint8Array(plain.length);
    const made = new Uint8Array(TAG_LENGTH);
    good.seal(iv, aad, plain, into, made);
    return (
      equal(into, sealed) &&
      equal(made, tag) &&
      good.open(iv, aad, sealed, tag, into) &&
      equal(into, plain) &&
      !good.open(iv, aad, sealed, flipped(tag), into) &&
      !good.open(iv, flipped(aad), sealed, tag, into) &&
      !good.open(flipped(iv), aad, sealed, tag, into) &&
      !good.open(iv, aad, flipped(sealed), tag, into) &&
      !good.open(iv, aad, sealed, tag, into.subarray(1)) &&
      !other.open(iv, aad, sealed, tag, into)
    );
  });
}

function flipped(bytes: Uint8Array): Uint8Array {
  return bytes.map((byte, at) => (at === bytes.length - 1 ? byte ^ 1 : byte));
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function hex(digits: string): Uint8Array {
  return Uint8Array.from(Buffer.from(digits, 'hex'));
}
