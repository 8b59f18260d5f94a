"""`/console`: the page itself. It holds nothing of anybody; whatever it shows it asks for with a token."""

from functools import cache
from importlib.resources import files

from aiohttp import web

from gateway.web.listener import SERVER

# Nothing but our own files runs or is drawn, nobody may put the page into a frame, and no text becomes markup.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-cache",
    "Server": SERVER,
}
PAGE = "index.html"
TYPES = {
    PAGE: "text/html",
    "console.css": "text/css",
    "icon.svg": "image/svg+xml",
    **dict.fromkeys(("console.js", "dom.js", "stream.js", "venues.js", "cancels.js", "kill.js"), "text/javascript"),
}


async def show_page(_: web.Request) -> web.Response:
    """`GET /console`."""
    return _file(PAGE)


async def show_part(request: web.Request) -> web.Response:
    """`GET /console/FILE`: what the page is made of."""
    name = request.match_info["file"]
    if name not in TYPES or name == PAGE:
        raise web.HTTPNotFound
    return _file(name)


def _file(name: str) -> web.Response:
    return web.Response(body=_read(name), content_type=TYPES[name], charset="utf-8", headers=HEADERS)


@cache
def _read(name: str) -> bytes:
    return files("gateway.web").joinpath("console", name).read_bytes()
