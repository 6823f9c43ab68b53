import type { LibvirtMachine } from './libvirt-machine.ts';

// What a machine keeps beside its disks: a word of up to 8 letters in its NVRAM, as a variable of UEFI, and in its TPM,
// as a value at an index (TPM 2.0 Part 3, "Non-volatile Storage"; the owner's authorization is empty).

const VARIABLE = '/sys/firmware/efi/efivars/HoldfastTest-6a8f1d0c-1f6b-4c3e-9f0e-2b7f3c1d5e90';
const LENGTH = 8;
const OWNER = '40000001';
const INDEX = '01500001';
// A session with the empty password: TPM_RS_PW, no nonce, no attributes, no password.
const PASSWORD = ['00000009', '40000009', '0000', '00', '0000'].join('');
const DEFINE_SPACE = 0x12a;
const WRITE = 0x137;
const READ = 0x14e;
// Header, size of parameters and size of the value: what comes before it in a response to READ.
const BEFORE_VALUE = 10 + 4 + 2;

export async function remember(machine: LibvirtMachine, word: string): Promise<void> {
  const value = Buffer.alloc(LENGTH);
  value.write(word);
  await machine.run(
    `rm -f ${VARIABLE}; printf '\\007\\000\\000\\000%s' ${word} >/run/word; cat /run/word >${VARIABLE}`,
  );
  // SHA-256; its owner reads and writes it, and a wrong password locks nothing.
  const space = `${INDEX}000b020200020000${hex16(LENGTH)}`;
  await tpm(machine, DEFINE_SPACE, `${OWNER}${PASSWORD}0000${hex16(space.length / 2)}${space}`);
  await tpm(machine, WRITE, `${at()}${hex16(LENGTH)}${value.toString('hex')}0000`);
}

export async function remembered(machine: LibvirtMachine): Promise<{ nvram: string; tpm: string }> {
  const nvram = await machine.run(`tail -c +5 ${VARIABLE}`);
  const response = await tpm(machine, READ, `${at()}${hex16(LENGTH)}0000`);
  const value = response.subarray(BEFORE_VALUE, BEFORE_VALUE + LENGTH).toString();
  return { nvram, tpm: value.replaceAll('\0', '') };
}

const at = (): string => `${OWNER}${INDEX}${PASSWORD}`;
const hex16 = (value: number): string => value.toString(16).padStart(4, '0');

/** Rejects unless the TPM says that all is well. */
async function tpm(machine: LibvirtMachine, code: number, rest: string): Promise<Buffer> {
  const size = (10 + rest.length / 2).toString(16).padStart(8, '0');
  const command = `8002${size}${code.toString(16).padStart(8, '0')}${rest}`;
  const words = command.replaceAll(/../g, '\\x$&');
  const send = `printf '${words}' >/run/command; exec 5<>/dev/tpm0; cat /run/command >&5`;
  const answer = await machine.run(`${send}; dd bs=4k count=1 <&5 2>/dev/null | xxd -p -c 256`);
  const response = Buffer.from(answer.trim(), 'hex');
  if (response.length < 10 || response.readUInt32BE(6) !== 0) {
    throw new Error(`the machine's TPM answers ${answer} to ${command}`);
  }
  return response;
}
