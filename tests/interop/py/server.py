"""pympp as the seller: an HTTP server with one route a feature. See ../README.md."""

import asyncio
import json
import sys
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lib import configuration, describe, emit, until_parent_leaves
from mpp.methods.tempo import TempoAccount
from mpp.methods.tempo import server as tempo
from mpp.server import Mpp, Request, Response
from mpp.store import MemoryStore

config = configuration(["rpcUrl", "chainId", "recipient", "currency", "secretKey"])
amount = config.get("amount", "10000")
fee_payer_key = config.get("feePayerKey")

mpp = Mpp(
    methods=tempo.charge(
        recipient=config["recipient"],
        chain_id=config["chainId"],
        rpc_url=config["rpcUrl"],
        currencies=[config["currency"]],
        # Amounts in the configuration are base units.
        decimals=0,
        fee_payer=TempoAccount.from_key(fee_payer_key) if fee_payer_key else None,
        # Given explicitly because pympp warns about its default on standard error.
        store=MemoryStore(),
    ),
    # pympp does not take the realm from the request; its clients expect the host.
    realm=config.get("realm", "127.0.0.1"),
    secret_key=config["secretKey"],
    requires_auth=bool(config.get("requiresAuth")),
)


def routes() -> dict[str, dict[str, Any]]:
    """The route's price. pympp has no proofs, no modes and no sponsored splits to offer."""
    table: dict[str, dict[str, Any]] = {
        "/charge": {"amount": amount},
        "/described": {
            "amount": amount,
            # No character of Latin-1 above ASCII: pympp 0.16.0 cannot send one from here.
            "description": "Wetterbericht — “heute” \U0001f326",
            "external_id": "order-42",
        },
    }
    if fee_payer_key:
        table["/sponsored"] = {"amount": amount, "fee_payer": True}
    if config.get("splits"):
        table["/splits"] = {"amount": amount, "splits": config["splits"]}
    return table


prices = routes()

# pympp is asynchronous; the threads of the HTTP server hand their work to this loop.
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()


def content(request: Request, path: str) -> Response:
    """The paid content: enough of the request for a test to see that it arrived whole."""
    body = {} if request.method in ("GET", "HEAD") else {"body": (request.body or b"").decode()}
    return Response.json({"peer": "pympp", "path": path, "method": request.method, **body})


async def handle(request: Request, path: str) -> Response:
    """Sells the route, or says why not."""
    if path == "/free":
        return content(request, path)
    if path not in prices:
        return Response.json({"error": f"no such route: {path}"}, status=404)
    expires_in = timedelta(seconds=config.get("expiresSeconds", 25))
    result = await mpp.charge(**prices[path], expires_in=expires_in)(request)
    if result.status != 200:
        return result.challenge
    return result.with_receipt(content(request, path))


class Handler(BaseHTTPRequestHandler):
    """Turns a socket's request into pympp's and its response into bytes."""

    protocol_version = "HTTP/1.1"

    def serve(self) -> None:
        """Answers one request."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        url = f"http://{self.headers.get('host', '127.0.0.1')}{self.path}"
        request = Request(self.command, url, headers=self.headers.items(), body=body or None)
        try:
            path = self.path.split("?")[0]
            response = asyncio.run_coroutine_threadsafe(handle(request, path), loop).result()
        except Exception as error:
            note(error)
            response = Response.json({"error": describe(error)}, status=500)
        self.send_response(response.status)
        payload = response.body or b""
        for name, value in response.headers.multi_items():
            if name.lower() != "content-length":
                self.send_header(name, value)
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(payload)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = serve  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Keeps standard error for failures."""


def note(error: BaseException) -> None:
    """Failed payments say why on standard error, so that a failing test can show it."""
    print(json.dumps(describe(error)), file=sys.stderr, flush=True)


mpp.on_payment_failed(lambda event: note(event["error"]))
server = ThreadingHTTPServer(("127.0.0.1", config.get("port", 0)), Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}"
emit({"ready": True, "url": url, "routes": ["/free", *prices]})
until_parent_leaves(config.get("maxSeconds", 300))
