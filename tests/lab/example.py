"""A real Kamailio that runs examples/kamailio/sbc.cfg or router.cfg: only node.cfg is ours."""

import shutil
from pathlib import Path

from tests.lab.kamailio import DOMAIN_HEADER, RTPENGINE_HEADER, Kamailio
from tests.lab.process import LabError

EXAMPLES = Path(__file__).parents[2] / "examples" / "kamailio"


class Example(Kamailio):
    """`with Example(tmp_path, "sbc", "6.0.1", destinations=["1 sip:127.0.0.1:5070 0 10"]) as sbc:`

    `define`: further lines of node.cfg; `ng`: port of an RTPEngine. Calls to 127.0.0.1 are local. By default nobody is
    pinged meanwhile.
    """

    def __init__(
        self,
        directory: Path,
        role: str,
        version: str = "",
        destinations: list[str] | None = None,
        define: str = "",
        ng: int = 0,
    ) -> None:
        self._role, self._define = role, define or "#!define PING_EVERY 600"
        super().__init__(directory, version=version)
        self.cfg = directory / f"{role}.cfg"
        self.list_file.write_text("\n".join([*(destinations or []), ""]))
        (self.dbtext / "domain").write_text(f"{DOMAIN_HEADER}1:127.0.0.1:127.0.0.1:0\n")
        if ng:
            (self.dbtext / "rtpengine").write_text(f"{RTPENGINE_HEADER}1:0:udp\\:127.0.0.1\\:{ng}:1:0:0\n")

    def write_cfg(self) -> None:
        for path in EXAMPLES.glob("*.cfg"):
            shutil.copy(path, self.directory)
        if (EXAMPLES / "node.cfg").exists():
            raise LabError("cannot try the examples: node.cfg is an operator's, none ships")
        (self.directory / "node.cfg").write_text(
            f"""\
#!define NODE_ADDRESS 127.0.0.1
#!define SIP_PORT {self.sip_port}
#!define HTTP_PORT {self.http_port}
#!define CTL "unix:{self.ctl}"
#!define DISPATCHER_LIST "{self.list_file}"
#!define DBTEXT "text://{self.dbtext}"
{self._define}
mpath="{self.found.modules}/"
dns=no
"""
        )
