import { inUri } from './networks.ts';

/** The path of a unix socket, or a server on another host. */
export type HttpServerPlace = string | HttpsPlace;

export interface HttpsPlace {
  readonly host: string;
  readonly port: number;
  /** Sent with each request; never part of an error message. */
  readonly token: string;
  /** The authority that must have signed its certificate (PEM); undefined: those that this machine trusts. */
  readonly authority: Uint8Array | undefined;
}

/** The server's name, for messages. */
export function placeName(at: HttpServerPlace): string {
  return typeof at === 'string' ? at : `https://${inUri(at.host)}:${at.port}`;
}
