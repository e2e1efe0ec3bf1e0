"""`/docs`: Swagger UI over `/openapi.json`, all of it served from here.

A cluster may have no way to the internet, and a page that shows access tokens should run nobody else's
script: the files come from a wheel, and the page's own lines stand in a file too, so that its content
security policy needs no inline script.
"""

from functools import cache
from importlib.resources import files

from fastapi import APIRouter, HTTPException, Response, status

CSP = (
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none';"
    " connect-src 'self'; script-src 'self'; img-src 'self' data:;"
    " style-src 'self' 'unsafe-inline'"  # Swagger UI sets styles on its elements
)

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>TaskFlow: HTTP API</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START = """\
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
});
"""
_SHIPPED = {
    "favicon-32x32.png": "image/png",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
}
_KEEP = {"Cache-Control": "public, max-age=3600"}

routes = APIRouter(include_in_schema=False)


@routes.get("/docs")
async def page() -> Response:
    """Show the page."""
    return Response(_PAGE, media_type="text/html")


@routes.get("/docs/start.js")
async def start() -> Response:
    """Give the page's own script."""
    return Response(_START, media_type="text/javascript", headers=_KEEP)


@routes.get("/docs/{name}")
async def asset(name: str) -> Response:
    """Give one of Swagger UI's files."""
    if name not in _SHIPPED:
        raise HTTPException(status.HTTP_404_NOT_FOUND)
    return Response(_read(name), media_type=_SHIPPED[name], headers=_KEEP)


@cache
def _read(name: str) -> bytes:
    return (files("fastapi_swagger") / "resources" / name).read_bytes()
