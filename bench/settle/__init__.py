"""Questions settled by trying on a real Kamailio: `python -m bench.settle NAME`; answers in docs/findings.md."""
