import type { Of } from '../lib/schema.ts';
import { MACHINE_OPERATIONS } from './machine-operations.ts';
import { NETWORK_OPERATIONS } from './network-operations.ts';

/*
 * What is set on the machine itself. It needs root's rights, which the service does not have: it hands these on to a
 * small service of their own (systemd/holdfast-hostd.service).
 */
export const HOST_OPERATIONS = { ...NETWORK_OPERATIONS, ...MACHINE_OPERATIONS } as const;

export type HostOperationName = keyof typeof HOST_OPERATIONS;
export type HostRequestOf<N extends HostOperationName> = Of<(typeof HOST_OPERATIONS)[N]['request']>;
export type HostResultOf<N extends HostOperationName> = Of<(typeof HOST_OPERATIONS)[N]['result']>;

export function isHostOperation(name: string): name is HostOperationName {
  return Object.hasOwn(HOST_OPERATIONS, name);
}
