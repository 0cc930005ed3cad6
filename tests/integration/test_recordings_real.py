"""The recordings that the shipped fakes answer from are what each supported Kamailio says."""

from tools.record_replies import RECORDINGS, differences, record
from tools.scenes import SCENES


def test_kamailio_still_says_what_is_recorded() -> None:
    documents = record(SCENES)
    assert differences(documents) == [], f"tools/record_replies.py writes {RECORDINGS} anew"
