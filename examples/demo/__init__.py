"""The demo: real routers come and go in a real Consul while real calls follow them through a real Kamailio.

`./dev demo` or `python -m examples.demo`; acts.py holds what is played, stage.py the programs it is played with,
evidence.py what is believed (the engine's journal, a sampler of Kamailio's memory, sipp), view.py what is shown.
"""
