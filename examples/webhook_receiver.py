"""Receives webhooks, and takes only what was signed with its secret: `SECRET=whsec_… python examples/webhook_receiver.py`."""

import base64
import hashlib
import hmac
import json
import os
import time  # noqa: TID251 an endpoint of somebody else has no Clock
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer

TOLERANCE_S = 300


def is_signed(secret: str, headers: Mapping[str, str], body: bytes, now_s: float) -> bool:
    """Whether a body, as it came, is from who knows the secret, and new."""
    id, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not at.isdecimal() or abs(now_s - int(at)) > TOLERANCE_S:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{id}.{at}.".encode() + body, hashlib.sha256)
    wanted = f"v1,{base64.b64encode(digest).decode()}".encode()
    # Several stand there, with spaces between them, while a secret is being changed.
    given = headers.get("webhook-signature", "").encode().split()
    return any(hmac.compare_digest(wanted, each) for each in given)


class Receiver(BaseHTTPRequestHandler):
    """One endpoint; what came before is known by its `webhook-id`."""

    def do_POST(self) -> None:
        """Answer 204 to what is signed: anything but 2xx is tried again."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        good = is_signed(os.environ["SECRET"], dict(self.headers), body, time.time())
        if good:
            event = json.loads(body)
            print(self.headers["webhook-id"], event["type"], event["data"], flush=True)
        self.send_response(204 if good else 401)
        self.end_headers()


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", 9000), Receiver).serve_forever()
