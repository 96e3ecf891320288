import json
import socket
import threading
import time

import pytest

from provisioner.clouds import qmp as qmp_module
from provisioner.clouds.qmp import Address, Qmp
from provisioner.errors import CloudError

GREETING = b'{"QMP": {"version": {}, "capabilities": []}}\n'
OK = b'{"return": {}}\n'


class FakeQemu:
    """Answers a connection with a script: bytes are sent, `...` waits for one line of the client."""

    def __init__(self, folder):
        self.path = folder / "qmp.sock"
        self.heard = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(1)
        self._thread = None

    def play(self, *script):
        self._thread = threading.Thread(target=self._play, args=(script,))
        self._thread.start()
        return Address(self.path, seconds=0.5)

    def _play(self, script):
        connection, _ = self._listener.accept()
        with connection, connection.makefile("rb") as lines:
            for step in script:
                if step is ...:
                    self.heard.append(json.loads(lines.readline()))
                elif isinstance(step, float):
                    time.sleep(step)
                else:
                    connection.sendall(step)

    def close(self):
        if self._thread is not None:
            self._thread.join(5)
        self._listener.close()


@pytest.fixture
def fake(tmp_path):
    fake = FakeQemu(tmp_path)
    yield fake
    fake.close()


def ask(address):
    with Qmp(address) as connection:
        return connection.execute("query-status")


def test_a_command_is_answered(fake):
    address = fake.play(GREETING, ..., OK, ..., b'{"return": {"status": "running"}}\n')
    assert ask(address) == {"status": "running"}
    assert [line["execute"] for line in fake.heard] == ["qmp_capabilities", "query-status"]


def test_events_before_the_answer_are_dropped(fake):
    event = b'{"event": "RESUME", "timestamp": {}}\n'
    assert ask(fake.play(GREETING, ..., event, OK, ..., event, event, b'{"return": 7}\n')) == 7


def test_an_answer_in_pieces_is_put_together(fake):
    assert ask(fake.play(GREETING[:9], 0.05, GREETING[9:], ..., OK, ..., b'{"ret', 0.05, b'urn": 7}\n')) == 7


FAULTS = {
    "closes at once": ((), "closed the connection"),
    "never greets": ((1.0,), "no answer within"),
    "is not qmp": ((b'{"hello": 1}\n',), "not QMP"),
    "is not json": ((b"SSH-2.0-OpenSSH\n",), "not JSON"),
    "is not an object": ((b"[1, 2]\n",), "not an object"),
    "is not utf-8": ((b"\xff\xfe\n",), "not JSON"),
    "nests deeply": ((b"[" * 200_000 + b"\n",), "not JSON"),
    "refuses": ((GREETING, ..., OK, ..., b'{"error": {"class": "X", "desc": "no such"}}\n'), "no such"),
    "dies before answering": ((GREETING, ..., OK, ...), "closed the connection"),
    "hangs before answering": ((GREETING, ..., OK, ..., 1.0), "no answer within"),
    "sends events for ever": ((GREETING, ..., OK, ..., *[b'{"event": 1}\n', 0.1] * 9), "no answer within"),
    "cuts its answer": ((GREETING, ..., OK, ..., b'{"return": '), "closed the connection"),
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_of_the_other_side_is_typed(fake, fault):
    script, words = FAULTS[fault]
    with pytest.raises(CloudError, match=words):
        ask(fake.play(*script))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_endless_line_is_cut_off(fake, monkeypatch):
    monkeypatch.setattr(qmp_module, "_LONGEST_LINE", 1000)
    with pytest.raises(CloudError, match="a line of more than 1000 bytes"):
        ask(fake.play(b"x" * 100_000))


def test_nobody_listens(tmp_path):
    with pytest.raises(CloudError, match="cannot connect"):
        ask(Address(tmp_path / "qmp.sock"))
    with pytest.raises(CloudError, match="cannot connect"):
        ask(Address(tmp_path / "no-folder" / "qmp.sock"))


def test_a_path_longer_than_a_socket_address(tmp_path, monkeypatch):
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("qmp.sock")
    listener.listen(1)
    with listener, pytest.raises(CloudError, match="no answer within"):
        ask(Address(deep / "qmp.sock", seconds=0.1))
