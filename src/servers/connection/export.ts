import type { Client, Traffic } from './traffic.ts';

/** A disk or directory that a server offers. Closing it refuses new clients, finishes requests and flushes. */
export interface Export extends AsyncDisposable {
  readonly name: string;
  /** The address for clients, e.g. `nbd+unix:///vda?socket=/run/x.sock`. */
  readonly uri: string;
  /** Clients connected now. */
  readonly clients: readonly Client[];
  /** Traffic of all clients, including former ones. */
  readonly traffic: Readonly<Traffic>;
}
