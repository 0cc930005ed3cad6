"""For every suite: hypothesis without deadlines, because a shared machine's noise is no defect of ours."""

from hypothesis import settings

settings.register_profile("consul_kam", deadline=None, print_blob=True)
settings.load_profile("consul_kam")
