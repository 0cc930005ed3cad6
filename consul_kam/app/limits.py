"""From the configuration to one list's limits."""

from consul_kam.config import DatasetSettings, Settings
from consul_kam.core.guards import Limits
from consul_kam.core.plan import Policy


def policy(settings: Settings, chosen: DatasetSettings) -> Policy:
    """What the configuration says of one list's limits."""
    limits = Limits(
        min_records=chosen.min_records,
        max_shrink=chosen.max_shrink,
        hold_for=chosen.hold_for,
        min_callable=chosen.min_callable,
        probing=settings.kamailio.probing,
    )
    return Policy(limits, chosen.max_records, chosen.on_bad_record == "reject")
