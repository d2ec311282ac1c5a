"""The play page's server: one page, one socket. Words come in, a frame goes out; each socket is a session of its own.

A message is a JSON object with ``do`` and what that needs; the answer is a JSON object, or a film's bytes.
"""

from __future__ import annotations

import asyncio
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Callable
from importlib.resources import files
from io import BytesIO
from typing import TYPE_CHECKING, Any

from threeworlds.studio.pictures import read_picture

if TYPE_CHECKING:
    import numpy as np
    from aiohttp import web

    from threeworlds.studio.session import Session, Shown
    from threeworlds.types import ClipSpec

LARGEST = 32 << 20  # bytes of a message: a photograph
Encode = Callable[["np.ndarray"], bytes]  # frames uint8 [t, h, w, 3] -> an mp4 file


def make_app(new_session: Callable[[], Session], spec: ClipSpec, encode: Encode, *, title: str) -> web.Application:
    """The application: ``/`` is the page, ``/play`` the socket."""
    from aiohttp import web

    text = page_text(new_session(), spec, title)

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type="text/html")

    async def play(request: web.Request) -> web.WebSocketResponse:
        if not from_own_page(request.headers.get("Origin"), request.host):
            raise web.HTTPForbidden(text="this socket answers its own page alone")
        socket = web.WebSocketResponse(max_msg_size=LARGEST)
        await socket.prepare(request)
        session = await asyncio.to_thread(new_session)
        await socket.send_str(answer_of(session.shown))
        async for message in socket:
            reply = await asyncio.to_thread(handle, session, spec, encode, message.data)
            await (socket.send_bytes(reply) if isinstance(reply, bytes) else socket.send_str(reply))
        return socket

    app = web.Application()
    app.add_routes([web.get("/", page), web.get("/play", play)])
    return app


def from_own_page(origin: str | None, host: str) -> bool:
    """Whether a request comes from the page that this server gave out, or from no page at all."""
    return origin is None or origin.split("://", 1)[-1] == host


def page_text(session: Session, spec: ClipSpec, title: str) -> str:
    """The page, with what it must know of the world put in."""
    names = session.names
    facts = {
        "title": title,
        "codes": session.null,
        "names": [names.name(code) if names else "" for code in range(session.null)],
        "commands": dict(zip(names.names, names.code_of_action, strict=True)) if names else {},
        "truth": session.truth is not None,
        "starts": len(session.starts),
        "width": spec.width,
        "height": spec.height,
        "fps": spec.fps,
    }
    text = files("threeworlds.studio").joinpath("page.html").read_text(encoding="utf-8")
    return text.replace("/*FACTS*/ {}", json.dumps(facts).replace("</", "<\\/"))


def handle(session: Session, spec: ClipSpec, encode: Encode, text: Any) -> str | bytes:
    """Do what a message asks; what is wrong with it is the answer, and the session goes on."""
    try:
        message = json.loads(text)
        return DO[message["do"]](session, spec, encode, message)
    except (ValueError, KeyError, TypeError) as error:
        told = f"unknown: {error}" if isinstance(error, KeyError) else str(error)
        return json.dumps({"error": told})


def _step(session: Session, spec: ClipSpec, encode: Encode, message: Any) -> str:
    return answer_of(session.step(int(message["code"])))


def _restart(session: Session, spec: ClipSpec, encode: Encode, message: Any) -> str:
    return answer_of(session.restart())


def _next(session: Session, spec: ClipSpec, encode: Encode, message: Any) -> str:
    return answer_of(session.next_start())


def _picture(session: Session, spec: ClipSpec, encode: Encode, message: Any) -> str:
    return answer_of(session.begin_from(read_picture(b64decode(message["data"]), spec)))


def _record(session: Session, spec: ClipSpec, encode: Encode, message: Any) -> str:
    session.record()
    return json.dumps({"recording": True})


def _film(session: Session, spec: ClipSpec, encode: Encode, message: Any) -> str | bytes:
    film = session.stop_recording()
    return json.dumps({"error": "nothing was recorded"}) if film is None else encode(film)


DO: dict[str, Callable[[Session, Any, Encode, Any], str | bytes]] = {
    "step": _step,
    "restart": _restart,
    "next": _next,
    "picture": _picture,
    "record": _record,
    "film": _film,
}


def answer_of(shown: Shown) -> str:
    """What the page draws."""
    return json.dumps(
        {
            "dream": png(shown.dream),
            "truth": None if shown.truth is None else png(shown.truth),
            "step": shown.step,
            "code": shown.code,
            "ms": round(shown.milliseconds, 1),
            "p95": round(shown.p95, 1),
            "recorded": shown.recorded,
        }
    )


def png(frame: np.ndarray) -> str:
    """uint8 [h, w, 3] -> base64 of a PNG."""
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(frame).save(buffer, "PNG", compress_level=1)
    return b64encode(buffer.getvalue()).decode()


def serve(app: web.Application, *, port: int, ready: Callable[[str], None]) -> None:
    """Answer on this machine alone until interrupted; ``ready`` is told the address once it can be opened."""
    asyncio.run(_serve(app, port, ready))


async def _open(site: web.TCPSite, port: int) -> None:
    try:
        await site.start()
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise ValueError(f"port {port} of this machine cannot be had: {why}; 0 is any that is free") from error


async def _serve(app: web.Application, port: int, ready: Callable[[str], None]) -> None:
    from aiohttp import web

    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await _open(web.TCPSite(runner, "127.0.0.1", port), port)
        ready(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
