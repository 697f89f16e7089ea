"""HAProxy's answers, as 2.8 writes them."""

from workers.gateway.haproxy_output import admin_states, backends, entries, loads, servers, sessions_on, stat
from workers.gateway.table import ActualServer, BackendLoad

COLUMNS = "# pxname,svname,qcur,scur,stot,status,sid,addr,"
STAT = f"""{COLUMNS}
b0,r1,0,2,40,UP,2,10.0.0.1:8000,
b0,r2,,1,9,DOWN 1/3,3,10.0.0.2:8000,
b0,hold,1,3,5,no check,1,,
b0,BACKEND,4,6,54,UP,0,,
b1,hold,0,0,0,no check,1,,
b1,BACKEND,0,0,0,UP,0,,
endpoint,FRONTEND,,9,99,OPEN,0,,
"""
STATES = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state
3 b0 2 r1 10.0.0.1 2 0
3 b0 3 r2 10.0.0.2 0 16
3 b0 1 hold - 2 0
"""
SESSIONS = """0x5581: proto=tcpv4 src=10.1.1.1:4000 fe=endpoint be=b0 srv=r1 ts=00 epoch=0
0x5582: proto=tcpv4 src=10.1.1.1:4001 fe=endpoint be=b0 srv=r11 ts=00 epoch=0
0x5583: proto=unix_stream fe=MASTER be=<NONE> srv=<none> ts=00 epoch=0
"""


def test_servers_have_their_state_their_health_and_their_requests():
    assert list(servers(stat(STAT), admin_states(STATES))) == [
        ActualServer(backend="b0", name="r1", address="10.0.0.1:8000", sessions=2, number=2),
        ActualServer(backend="b0", name="r2", address="10.0.0.2:8000", admin="drain", up=False, sessions=1, number=3),
    ]


CHECKED = """# pxname,svname,qcur,scur,status,sid,addr,bout,check_status,check_rise,check_fall,check_health,
b0,fresh,0,0,UP 1/4,2,10.0.0.1:8000,0,INI,1,4,1,
b0,sound,0,1,UP,3,10.0.0.2:8000,730,L7OK,1,4,4,
b0,silent,0,1,UP 2/4,4,10.0.0.3:8000,9,* L7TOUT,1,4,2,
b0,closed,0,0,UP 3/4,5,10.0.0.4:8000,0,L4CON,1,4,3,
b0,failing,0,2,NOLB,6,10.0.0.5:8000,8,L7OKC,1,4,4,
b0,dead,0,0,DOWN,7,10.0.0.6:8000,8,L7TOUT,1,4,0,
"""


def test_a_server_is_doubted_until_its_first_check_has_passed_and_while_its_checks_get_no_answer():
    names = ["fresh", "sound", "silent", "closed", "failing", "dead"]
    found = {s.name: s for s in servers(stat(CHECKED), {("b0", name): "ready" for name in names})}
    assert {name: found[name].doubt for name in names} == {
        "fresh": "new", "sound": None, "silent": "silent", "closed": None, "failing": None, "dead": None
    }  # fmt: skip
    assert [name for name in names if found[name].up] == ["fresh", "sound", "silent", "closed"]
    assert [name for name in names if found[name].stopping] == ["failing"]
    assert found["sound"].sent == 730


def test_backends_are_all_there_with_what_they_have():
    assert backends(stat(STAT)) == {"b0": 10, "b1": 0}


def test_a_load_is_of_the_deployment_whose_backend_it_is():
    assert loads(stat(STAT), {"d1": "b0", "new": "b9"}) == {
        "d1": BackendLoad(requests_total=54, sessions=3, queued=4, held=4)
    }


def test_a_map_is_read_and_an_empty_line_is_no_entry():
    assert entries("0x55d8 mxk_a d1\n0x55d9 mxk_b d2\n\n") == {"mxk_a": "d1", "mxk_b": "d2"}


def test_the_sessions_of_one_server_are_no_other_s():
    assert sessions_on(SESSIONS, "b0", "r1") == ["0x5581"]


def test_a_process_that_is_about_to_end_says_nothing_which_is_no_empty_table():
    assert stat("") == stat("Can't find the target '@!99'") == []
    assert admin_states("") is admin_states("Can't find the target '@!99'") is None
    assert admin_states(STATES.partition("3 b0")[0]) == {}
