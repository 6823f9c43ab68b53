/** A client that accepts this gets lines of JSON: progress and notices as they come, then the result or the failure. */
export const EVENTS_TYPE = 'application/x-ndjson';
