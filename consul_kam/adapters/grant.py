"""What one other user may read, and nobody else: a POSIX access control list, where a group would be too many.

As setfacl(1) does it [acl(5); Linux: include/uapi/linux/posix_acl_xattr.h]; for one's own files
no right of root's is needed.
"""

import os
import pwd
import struct
from pathlib import Path

from consul_kam.errors import ConfigError

READ, PASS = 4, 1
"""A file's content; through a directory, without listing it."""
_ATTRIBUTE, _VERSION, _NOBODY = "system.posix_acl_access", 2, 0xFFFFFFFF
_OWNER, _USER, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20


def user_id(name: str) -> int | None:
    """None: he is ourselves, or nobody is named. Raises ConfigError."""
    try:
        found = pwd.getpwnam(name).pw_uid if name else os.geteuid()
    except KeyError:
        raise ConfigError(f"cannot use [kamailio.tls] user: there is no user {name}") from None
    return None if found == os.geteuid() else found


def allow(path: Path, uid: int | None, right: int, own: int) -> None:
    """The owner has `own`, `uid` has `right`, nobody else anything: in one step, for he may be reading. Raises OSError.

    Where `uid` is None, what a list allowed before is masked out.
    """
    if uid is None:
        os.chmod(path, own << 6)
        return
    entries = ((_OWNER, own, _NOBODY), (_USER, right, uid), (_GROUP, 0, _NOBODY), (_MASK, right, _NOBODY))
    rows = b"".join(struct.pack("<HHI", *entry) for entry in (*entries, (_OTHER, 0, _NOBODY)))
    os.setxattr(path, _ATTRIBUTE, struct.pack("<I", _VERSION) + rows)
