/** Where the service listens unless its settings say otherwise. */
export const SERVICE_SOCKET = '/run/holdfast/control.sock';
