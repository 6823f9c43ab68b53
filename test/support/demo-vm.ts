import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { program, without } from './programs.ts';

/** Why there is no such machine; false: there is. */
export const demoVmMissing = without('qemu-system-x86_64', 'mmdebstrap', 'syslinux', 'mcopy');

/** A disk image of the small Debian that `npm run try` builds, so that it is built once. */
export async function demoVm(): Promise<string> {
  const image = 'var/demo-vm.raw';
  if (!existsSync(image)) {
    mkdirSync('var', { recursive: true });
    // Another test file may be building it as well.
    const fresh = `${image}.${process.pid}`;
    await program('sh', 'appliance/build-demo-vm.sh', fresh);
    renameSync(fresh, image);
  }
  return image;
}
