/** What stands above the commands that prepare a hypervisor. An address without a host is this one's. */
export function stepsTitle(uri: string): string {
  const where = /^[a-z+]+:\/\/\//.test(uri) ? 'On this host' : 'On the hypervisor';
  return `${where}, as root, once:`;
}
