import { createRequire } from 'node:module';

/*
 * AES-256-GCM by the OpenSSL inside the running Node, without Node's streams around it: the functions are looked up
 * in this process, so that there is one OpenSSL and no second library. Loaded on first use.
 */
export interface Evp {
  /** A context for one direction, with the key set; every call is checked. The caller frees it. */
  encryption(key: Uint8Array): EvpContext;
  decryption(key: Uint8Array): EvpContext;
}

export interface EvpContext {
  /** Begins a message, with the same key. Cheaper if `iv`, `aad` and `tag` are the same memory each time. */
  begin(iv: Uint8Array, aad: Uint8Array): void;
  /** Adds bytes that are authenticated and not encrypted. */
  authenticate(bytes: Uint8Array): void;
  /** `length` bytes of `from`, to the start of `into`. */
  update(from: Uint8Array, into: Uint8Array, length: number): void;
  /** After an encryption: writes 16 bytes. */
  end(tag: Uint8Array): void;
  /** After a decryption: whether the tag matches. */
  verify(tag: Uint8Array): boolean;
  free(): void;
}

/** A pointer, as koffi returns them. */
type Pointer = unknown;
/** A pointer as a number: passing it takes half the time. */
type Address = number;
type Init = (
  context: Address,
  cipher: Address,
  engine: Address,
  key: Address,
  iv: Address,
) => number;
type Update<Memory> = (
  context: Address,
  out: Memory,
  outLength: Address,
  from: Memory,
  length: number,
) => number;
type Bytes = Uint8Array | null;
type Final = (context: Address, out: Address, outLength: Address) => number;

// openssl/evp.h.
const GET_TAG = 0x10;
const SET_TAG = 0x11;
const TAG_LENGTH = 16;
/** Room for the last block of modes that hold one back; GCM does not. */
const REST_LENGTH = 32;
const NULL = 0;

let loaded: Evp | undefined;

/** Throws if this Node does not export the functions. */
export function evp(): Evp {
  return (loaded ??= load());
}

function load(): Evp {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const process = koffi.load(null);
  const init = '(size_t context, size_t cipher, size_t engine, size_t key, size_t iv)';
  const update = '(size_t context, size_t out, size_t outLength, size_t from, int length)';
  const updateArrays = '(size_t context, void *out, size_t outLength, void *from, int length)';
  const final = '(size_t context, size_t out, size_t outLength)';
  const newContext = process.func('void *EVP_CIPHER_CTX_new()') as () => Pointer;
  const freeContext = process.func('void EVP_CIPHER_CTX_free(size_t context)') as (
    context: Address,
  ) => void;
  const control = process.func(
    'int EVP_CIPHER_CTX_ctrl(size_t context, int type, int argument, size_t pointer)',
  ) as (context: Address, type: number, argument: number, pointer: Address) => number;
  const fetch = process.func(
    'void *EVP_CIPHER_fetch(void *library, const char *name, const char *properties)',
  ) as (library: null, name: string, properties: null) => Pointer;
  const cipher = fetch(null, 'AES-256-GCM', null);
  if (!cipher) throw new Error('OpenSSL does not offer AES-256-GCM');
  const cipherAt = checkedAddress(cipher);
  const addressOf = (memory: Uint8Array | Int32Array) => checkedAddress(koffi.address(memory));
  const outLength = new Int32Array(1);
  const outLengthAt = addressOf(outLength);
  const rest = new Uint8Array(REST_LENGTH);
  const restAt = addressOf(rest);

  const encrypt = {
    init: process.func(`int EVP_EncryptInit_ex${init}`) as Init,
    update: process.func(`int EVP_EncryptUpdate${update}`) as Update<Address>,
    updateArrays: process.func(`int EVP_EncryptUpdate${updateArrays}`) as Update<Bytes>,
    final: process.func(`int EVP_EncryptFinal_ex${final}`) as Final,
  };
  const decrypt = {
    init: process.func(`int EVP_DecryptInit_ex${init}`) as Init,
    update: process.func(`int EVP_DecryptUpdate${update}`) as Update<Address>,
    updateArrays: process.func(`int EVP_DecryptUpdate${updateArrays}`) as Update<Bytes>,
    final: process.func(`int EVP_DecryptFinal_ex${final}`) as Final,
  };

  /** Memory stays where it is while it is referenced; detached memory has no length, which is checked. */
  function remembered(): (memory: Uint8Array) => Address {
    let last: Uint8Array | undefined;
    let address = 0;
    return (memory) => {
      if (memory === last) return address;
      address = addressOf(memory);
      last = memory;
      return address;
    };
  }
  function contextOf(calls: typeof encrypt, key: Uint8Array): Address {
    // OpenSSL would read what lies behind a shorter one.
    if (key.length !== 32) throw new Error(`a key has 32 bytes, not ${key.length}`);
    const pointer = newContext();
    if (!pointer) throw new Error('OpenSSL cannot make a context: out of memory');
    const context = checkedAddress(pointer);
    if (calls.init(context, cipherAt, NULL, addressOf(key), NULL) === 1) return context;
    freeContext(context);
    throw new Error('OpenSSL refuses the key for AES-256-GCM');
  }
  function context(calls: typeof encrypt, key: Uint8Array): EvpContext {
    const own = contextOf(calls, key);
    const ivAt = remembered();
    const aadAt = remembered();
    const tagAt = remembered();
    return {
      begin(iv, aad) {
        if (calls.init(own, NULL, NULL, NULL, ivAt(iv)) !== 1) failed('takes no IV');
        const result = calls.update(own, NULL, outLengthAt, aadAt(aad), aad.length);
        if (result !== 1 || outLength[0] !== aad.length) failed('takes no associated data');
      },
      authenticate(bytes) {
        const result = calls.updateArrays(own, null, outLengthAt, bytes, bytes.length);
        if (result !== 1 || outLength[0] !== bytes.length) failed('takes no associated data');
      },
      update(from, into, length) {
        const result = calls.updateArrays(own, into, outLengthAt, from, length);
        if (result !== 1 || outLength[0] !== length)
          failed(`made ${outLength[0]} of ${length} bytes`);
      },
      end(tag) {
        if (calls.final(own, restAt, outLengthAt) !== 1 || outLength[0] !== 0)
          failed('does not end');
        if (control(own, GET_TAG, TAG_LENGTH, tagAt(tag)) !== 1) failed('makes no tag');
      },
      verify(tag) {
        if (control(own, SET_TAG, TAG_LENGTH, tagAt(tag)) !== 1) failed('takes no tag');
        return calls.final(own, restAt, outLengthAt) === 1;
      },
      free: () => freeContext(own),
    };
  }
  return {
    encryption: (key) => context(encrypt, key),
    decryption: (key) => context(decrypt, key),
  };
}

/** Throws if a number cannot hold the pointer. */
function checkedAddress(pointer: Pointer): Address {
  const address = Number(pointer);
  if (Number.isSafeInteger(address) && address > 0) return address;
  throw new Error(`a pointer too large for a number: ${String(pointer)}`);
}

function failed(what: string): never {
  throw new Error(`OpenSSL ${what}`);
}
