import { createRequire } from 'node:module';

/*
 * AES-256-GCM by the OpenSSL that the running Node brings, called without Node's own streams around it: the functions
 * are looked up in this process, so that there is one OpenSSL and no second library. Loaded on first use.
 */
export interface Evp {
  /** A context for one direction, with the key set; every call is checked. To be freed. */
  encryption(key: Uint8Array): EvpContext;
  decryption(key: Uint8Array): EvpContext;
}

export interface EvpContext {
  /** Begins a message, with the same key. */
  begin(iv: Uint8Array): void;
  authenticate(bytes: Uint8Array): void;
  /** `length` bytes of `from`, to the start of `into`. */
  update(from: Uint8Array, into: Uint8Array, length: number): void;
  /** After an encryption: writes 16 bytes. */
  end(tag: Uint8Array): void;
  /** After a decryption: whether the tag fits. */
  verify(tag: Uint8Array): boolean;
  free(): void;
}

/** A pointer, as koffi returns them. */
type Pointer = unknown;
type Init = (
  context: Pointer,
  cipher: Pointer,
  engine: null,
  key: Uint8Array | null,
  iv: Uint8Array | null,
) => number;
type Update = (
  context: Pointer,
  out: Uint8Array | null,
  outLength: Int32Array,
  from: Uint8Array,
  length: number,
) => number;
type Final = (context: Pointer, out: Uint8Array, outLength: Int32Array) => number;

// openssl/evp.h.
const GET_TAG = 0x10;
const SET_TAG = 0x11;
const TAG_LENGTH = 16;
/** More than a block, in case a mode has one left at the end; GCM has none. */
const REST_LENGTH = 32;

let loaded: Evp | undefined;

/** Throws where this Node does not export the functions. */
export function evp(): Evp {
  return (loaded ??= load());
}

function load(): Evp {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const process = koffi.load(null);
  const init = '(void *context, void *cipher, void *engine, void *key, void *iv)';
  const update = '(void *context, void *out, void *outLength, void *from, int length)';
  const final = '(void *context, void *out, void *outLength)';
  const newContext = process.func('void *EVP_CIPHER_CTX_new()') as () => Pointer;
  const freeContext = process.func('void EVP_CIPHER_CTX_free(void *context)') as (
    context: Pointer,
  ) => void;
  const control = process.func(
    'int EVP_CIPHER_CTX_ctrl(void *context, int type, int argument, void *pointer)',
  ) as (context: Pointer, type: number, argument: number, pointer: Uint8Array) => number;
  const fetch = process.func(
    'void *EVP_CIPHER_fetch(void *library, const char *name, const char *properties)',
  ) as (library: null, name: string, properties: null) => Pointer;
  const cipher = fetch(null, 'AES-256-GCM', null);
  if (!cipher) throw new Error('OpenSSL has no AES-256-GCM');
  const outLength = new Int32Array(1);
  const rest = new Uint8Array(REST_LENGTH);

  const encrypt = {
    init: process.func(`int EVP_EncryptInit_ex${init}`) as Init,
    update: process.func(`int EVP_EncryptUpdate${update}`) as Update,
    final: process.func(`int EVP_EncryptFinal_ex${final}`) as Final,
  };
  const decrypt = {
    init: process.func(`int EVP_DecryptInit_ex${init}`) as Init,
    update: process.func(`int EVP_DecryptUpdate${update}`) as Update,
    final: process.func(`int EVP_DecryptFinal_ex${final}`) as Final,
  };

  function context(calls: typeof encrypt, key: Uint8Array): EvpContext {
    // OpenSSL would read what lies behind a shorter one.
    if (key.length !== 32) throw new Error(`a key of ${key.length} bytes`);
    const pointer = newContext();
    if (!pointer) throw new Error('OpenSSL makes no context: no memory');
    if (calls.init(pointer, cipher, null, key, null) !== 1) {
      freeContext(pointer);
      throw new Error('OpenSSL takes no key for AES-256-GCM');
    }
    return {
      begin(iv) {
        if (calls.init(pointer, null, null, null, iv) !== 1) failed('takes no IV');
      },
      authenticate(bytes) {
        const result = calls.update(pointer, null, outLength, bytes, bytes.length);
        if (result !== 1 || outLength[0] !== bytes.length) failed('takes no associated data');
      },
      update(from, into, length) {
        const result = calls.update(pointer, into, outLength, from, length);
        if (result !== 1 || outLength[0] !== length)
          failed(`made ${outLength[0]} of ${length} bytes`);
      },
      end(tag) {
        if (calls.final(pointer, rest, outLength) !== 1 || outLength[0] !== 0)
          failed('does not end');
        if (control(pointer, GET_TAG, TAG_LENGTH, tag) !== 1) failed('makes no tag');
      },
      verify(tag) {
        if (control(pointer, SET_TAG, TAG_LENGTH, tag) !== 1) failed('takes no tag');
        return calls.final(pointer, rest, outLength) === 1;
      },
      free: () => freeContext(pointer),
    };
  }
  return {
    encryption: (key) => context(encrypt, key),
    decryption: (key) => context(decrypt, key),
  };
}

function failed(what: string): never {
  throw new Error(`OpenSSL ${what}`);
}
