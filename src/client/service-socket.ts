/** Of the small service with root's rights. */
export const HOST_SOCKET = '/run/holdfast-host/hostd.sock';
/** Where the service listens unless its settings say otherwise. */
export const SERVICE_SOCKET = '/run/holdfast/control.sock';
