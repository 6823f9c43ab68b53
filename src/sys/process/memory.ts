import { totalmem } from 'node:os';
import { KiB, MiB } from '../../lib/sizes.ts';
import { libc, MALLOC_MMAP_THRESHOLD, MALLOC_TRIM_THRESHOLD } from '../base/libc.ts';

const TRIM_THRESHOLD = 32 * MiB;
/** The C library's default, which it adapts at run time unless it is set explicitly. */
const MMAP_THRESHOLD = 128 * KiB;

/**
 * Keeps the C library from holding on to freed buffers. By default it learns from many buffers of 64 KiB, made in one
 * thread and freed in another, to keep the memory: a backup then takes 430 MiB instead of 290, without being faster.
 */
export function giveBackFreedMemory(): void {
  libc().mallopt(MALLOC_MMAP_THRESHOLD, MMAP_THRESHOLD);
  libc().mallopt(MALLOC_TRIM_THRESHOLD, TRIM_THRESHOLD);
}

/** All memory of this host, or as much of it as this process may use. */
export function memoryBytes(): number {
  // 0 or an immense number: there is no limit.
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}

/** Resident memory of this process now. */
export function residentBytes(): number {
  return process.memoryUsage.rss();
}
