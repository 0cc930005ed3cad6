"""The whole pipeline through kamcmd, for whom the ctl socket is out of reach."""

from tests.lab import ConsulAgent, Lab, uris, wait_for


def test_the_engine_works_through_kamcmd(lab: Lab, consul: ConsulAgent) -> None:
    kamailio = lab.kamailio(reload_delta=0)
    engine = lab.engine(kamailio, consul, start=False)
    ctl = f"unix:{kamailio.ctl}"
    text = engine.config.read_text()
    assert f'rpc = "{ctl}"' in text
    engine.config.write_text(text.replace(f'rpc = "{ctl}"', f'rpc = "kamcmd:[kamcmd -s {ctl}]"'))
    engine.start()
    lab.consul_template(consul, [engine.template()])
    for number in (1, 2):
        consul.register("router", f"kamcmd{number}", "127.0.0.1", 6000 + number)
    done = ("PUBLISHED", 2, "IDLE")
    engine.wait("both published", lambda status: (status["verdict"], status["records"], status["phase"]) == done)
    assert uris(kamailio.rpc.dispatcher()) == ["sip:127.0.0.1:6001", "sip:127.0.0.1:6002"]
    kamailio.rpc.call("dispatcher.set_state", "dx", 1, "sip:127.0.0.1:6001")
    consul.deregister("kamcmd2")
    wait_for("one left", lambda: len(kamailio.rpc.dispatcher()[1]) == 1, 20)
    assert [each.flags for each in kamailio.rpc.dispatcher()[1]] == ["DX"]
