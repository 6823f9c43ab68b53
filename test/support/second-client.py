"""A backup program of others, by libvirt's own Python binding: second-client.py URI UUID WORD [NAME [SOCKET [SINCE]]]"""

import sys

import libvirt

uri, uuid, word, *rest = sys.argv[1:]
domain = libvirt.open(uri).lookupByUUIDString(uuid)


def checkpoint(name):
    return f"<domaincheckpoint><name>{name}</name></domaincheckpoint>"


if word == "checkpoint":
    domain.checkpointCreateXML(checkpoint(rest[0]))
elif word == "begin":
    name, socket, *since = rest
    incremental = f"<incremental>{since[0]}</incremental>" if since else ""
    domain.backupBegin(
        f"<domainbackup mode='pull'>{incremental}<server transport='unix' socket='{socket}'/></domainbackup>",
        checkpoint(name),
    )
elif word == "end":
    domain.abortJob()
elif word == "delete":
    domain.checkpointLookupByName(rest[0]).delete()
elif word == "list":
    print("\n".join(sorted(it.getName() for it in domain.listAllCheckpoints())))
else:
    raise SystemExit(f"no such word: {word}")
