"""A Kamailio that does not come up: by the list, or by a chance of the machine's."""

import pytest

from tools.oracle.adapter import adapters
from tools.oracle.judge import judge
from tools.oracle.kamailio import NO_START, Loaded

RTPENGINE = adapters()["rtpengine"]
GOOD = b"id(int,auto) setid(int) url(string) weight(int) disabled(int) stamp(int)\n1:0:udp\\:127.0.0.1\\:9:1:0:0\n"


class Unlucky:
    """Its first `fails` starts come to nothing."""

    def __init__(self, fails: int) -> None:
        self.fails, self.starts = fails, 0

    def load(self, data: bytes) -> Loaded:
        self.starts += 1
        if self.starts <= self.fails:
            return Loaded((), NO_START, log="no port")
        return Loaded(tuple(RTPENGINE.read(data)))


@pytest.mark.parametrize(
    ("fails", "trouble"), [(0, ""), (1, ""), (2, "check accepts it, and Kamailio: Kamailio does not start: no port")]
)
def test_a_good_list_is_started_twice_before_it_is_to_blame(fails: int, trouble: str) -> None:
    kamailio = Unlucky(fails)
    assert judge(RTPENGINE, GOOD, kamailio).trouble == trouble
    assert kamailio.starts == max(1, min(2, fails + 1))


def test_a_bad_one_is_started_once() -> None:
    kamailio = Unlucky(2)
    assert judge(RTPENGINE, GOOD.replace(b"udp\\:127", b"tcp\\:127"), kamailio).trouble == ""
    assert kamailio.starts == 1
