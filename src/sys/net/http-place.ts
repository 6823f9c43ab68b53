import { inUri } from './networks.ts';

/** The path of a unix socket, or a server on another host. */
export type HttpServerPlace = string | HttpsPlace;

export interface HttpsPlace {
  readonly host: string;
  readonly port: number;
  /** Shown with each request; never told in an error. */
  readonly token: string;
  /** By whom its certificate has to be signed (PEM); undefined: whom this machine trusts. */
  readonly authority: Uint8Array | undefined;
}

/** For messages. */
export function placeName(at: HttpServerPlace): string {
  return typeof at === 'string' ? at : `https://${inUri(at.host)}:${at.port}`;
}
