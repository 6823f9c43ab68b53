/** In the store: held as long as the service has it. Whoever else runs a service on it is refused. */
export const SERVICE_LOCK = 'service.lock';
