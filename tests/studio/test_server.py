"""The page and its socket, through the server as a browser meets it."""

import asyncio
import json
from base64 import b64decode, b64encode
from io import BytesIO

import numpy as np
import pytest
from aiohttp.test_utils import TestClient, TestServer
from PIL import Image

from threeworlds.studio.server import answer_of, from_own_page, make_app
from threeworlds.studio.session import Session, Shown, Start

from .test_session import NAMES, SPEC, Counter


def new_session():
    starts = [Start(video=np.zeros((4, 8, 8, 3), np.uint8), state=np.zeros(2, np.float32))]
    return Session(Counter(5), starts, truth=Counter(3), names=NAMES)


def talk(*messages):
    """What the server answers to each message, the greeting first."""

    async def run():
        app = make_app(new_session, SPEC, lambda film: b"mp4:%d" % len(film), title="a </script> world")
        async with TestClient(TestServer(app)) as client:
            page = await (await client.get("/")).text()
            socket = await client.ws_connect("/play")
            answers = [(await socket.receive()).data]
            for message in messages:
                await socket.send_str(message if isinstance(message, str) else json.dumps(message))
                answers.append((await socket.receive()).data)
            await socket.close()
            return page, [json.loads(a) if isinstance(a, str) else a for a in answers]

    return asyncio.run(run())


def picture(answer, name="dream"):
    return np.asarray(Image.open(BytesIO(b64decode(answer[name]))))


def test_the_page_is_whole_and_knows_the_world():
    page, _ = talk()
    assert "http://" not in page and "https://" not in page  # nothing from elsewhere
    facts = json.loads(page.split("const facts = ")[1].split(";\n")[0])
    assert facts["codes"] == 4
    assert facts["names"] == ["left", "stay", "right", "?"]
    assert facts["commands"] == {"stay": 1, "left": 0, "right": 2}
    assert "</script> world" not in page  # a title cannot end the script


def test_steps_restarts_and_films():
    _, answers = talk(
        {"do": "step", "code": 2}, {"do": "record"}, {"do": "step", "code": 4}, {"do": "film"}, {"do": "restart"}
    )
    hello, first, recording, second, film, again = answers
    assert hello["step"] == 0 and hello["code"] is None
    assert (picture(first) == 12).all() and (picture(first, "truth") == 12).all()
    assert recording == {"recording": True}
    assert (picture(second) == 24).all() and (picture(second, "truth") == 20).all()
    assert film == b"mp4:2"
    assert again["step"] == 0


def test_a_wrong_message_is_answered_and_costs_nothing():
    wrong = ["no json", {"do": "fly"}, {"do": "step"}, {"do": "step", "code": "x"}, {"do": "film"}, "[]"]
    wrong += [{"do": "picture", "data": b64encode(b"no picture").decode()}]
    _, answers = talk(*wrong, {"do": "step", "code": 1})
    assert all(answer["error"] for answer in answers[1:-1])
    assert answers[-1]["step"] == 1


def test_a_picture_becomes_the_start():
    buffer = BytesIO()
    Image.new("RGB", (100, 60), "red").save(buffer, "PNG")
    _, answers = talk({"do": "picture", "data": b64encode(buffer.getvalue()).decode()})
    assert answers[-1]["truth"] is None
    assert answers[-1]["step"] == 0


@pytest.mark.parametrize(
    ("origin", "own"), [(None, True), ("http://127.0.0.1:7870", True), ("http://evil.example", False), ("null", False)]
)
def test_other_pages_are_not_answered(origin, own):
    assert from_own_page(origin, "127.0.0.1:7870") == own


def test_an_answer_holds_the_clock():
    frame = np.zeros((8, 8, 3), np.uint8)
    shown = Shown(dream=frame, truth=None, step=3, code=1, milliseconds=12.34, p95=15.0, recorded=0)
    assert json.loads(answer_of(shown)).items() >= {"ms": 12.3, "p95": 15.0, "truth": None}.items()
