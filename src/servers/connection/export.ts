import type { Client, Traffic } from './traffic.ts';

/** One thing that a target serves. Closing it refuses new clients, finishes requests and flushes. */
export interface Export extends AsyncDisposable {
  readonly name: string;
  /** What a client is given, e.g. `nbd+unix:///vda?socket=/run/x.sock`. */
  readonly uri: string;
  /** Connected now. */
  readonly clients: readonly Client[];
  /** Of all clients, those that have left too. */
  readonly traffic: Readonly<Traffic>;
}
