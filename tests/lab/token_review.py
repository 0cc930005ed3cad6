"""A stub of Kubernetes' API server: it answers TokenReview and nothing else. Vault's Kubernetes login asks it who a JWT
belongs to [Kubernetes API, authentication.k8s.io/v1 TokenReview]. No Kubernetes is behind it.
"""

import base64
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.lab.process import Started


def jwt(namespace: str = "voice", account: str = "kamailio", canary: str = "") -> str:
    """Shaped as a service account's token; nobody signed it, and only the stub says whether it is good."""
    claims = {
        "iss": "kubernetes/serviceaccount",
        "sub": f"system:serviceaccount:{namespace}:{account}",
        "kubernetes.io/serviceaccount/namespace": namespace,
        "kubernetes.io/serviceaccount/service-account.name": account,
        "kubernetes.io/serviceaccount/service-account.uid": "uid-1",
        "jti": canary,
    }
    parts = [{"alg": "RS256", "typ": "JWT"}, claims]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, base64.urlsafe_b64encode(b"no signature").rstrip(b"=").decode()])


class TokenReviewStub(Started):
    """`with TokenReviewStub() as stub:`; `good`: JWT -> (namespace, account)."""

    def __init__(self) -> None:
        self.good: dict[str, tuple[str, str]] = {}
        self.asked = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()

    def _review(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self.asked += 1
        found = self.good.get(asked["spec"]["token"])
        status: dict[str, Any] = {"authenticated": found is not None}
        if found is not None:
            status["user"] = {"username": f"system:serviceaccount:{found[0]}:{found[1]}", "uid": "uid-1", "groups": []}
        return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                body = json.dumps(stub._review(asked)).encode()
                self.send_response(201)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler
