/** What hosts mount: the one export, in which each finds what it may see. */
export const EXPORT_PATH = '/holdfast';
