/* What the scheme of a hypervisor's address says of the way to it. */

/** There, a host key has to be compared, and our key has to be put. */
export const isThroughSsh = (uri: string): boolean => /^[a-z0-9]+\+ssh:/.test(uri);

export const isThroughTls = (uri: string): boolean => /^[a-z0-9]+\+tls:/.test(uri);
