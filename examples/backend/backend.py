"""The backend of an application: it gives tokens to its users (docs/tokens.md), and is asked by
the server about its clients (docs/proxy.md).

usage: python3 backend.py [PORT [LIFETIME]], with the lifetime of tokens, connections and
subscriptions in seconds. It needs only the standard library.
"""

import base64
import hashlib
import hmac
import json
import sys
import threading
import time
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

KEY = "backend-secret"  # what the server shows, so that others cannot ask
TOKEN_SECRET = b"token-secret"  # client.token.hmac_secret_key of the server
MAX_BODY = 1 << 20
LIFETIME = int(sys.argv[2]) if len(sys.argv) > 2 else 300

lock = threading.Lock()  # guards the tables below, which an application has in its database
sessions = {"session-of-ann": "ann", "session-of-bob": "bob"}
members = {"team:red": {"ann", "bob"}, "team:blue": {"bob"}}


class Refusal(Exception):
    """What the client gets instead of a result."""


def error(code, message):
    return Refusal({"error": {"code": code, "message": message}})


def expiry():
    return int(time.time()) + LIFETIME


def user_of(headers):
    """Returns the user who is logged in, None if there is none."""
    try:
        session = SimpleCookie(headers.get("Cookie", "")).get("session")
    except CookieError:
        return None
    return sessions.get(session.value) if session else None


def info_of(user):
    return {"name": user.title()}


def sign(claims):
    def encode(raw):
        return base64.urlsafe_b64encode(raw).rstrip(b"=")

    text = encode(b'{"alg":"HS256","typ":"JWT"}') + b"." + encode(json.dumps(claims).encode())
    return (text + b"." + encode(hmac.new(TOKEN_SECRET, text, hashlib.sha256).digest())).decode()


def token(channel, headers):
    """Answers a page of the application: with a token to connect, or to subscribe to a channel."""
    user = user_of(headers)
    if user is None:
        return 401, b""
    if channel is None:
        claims = {"sub": user, "exp": expiry(), "info": info_of(user)}
    elif user in members.get(channel, ()):
        claims = {"sub": user, "channel": channel, "exp": expiry()}
    else:
        return 403, b""
    return 200, json.dumps({"token": sign(claims)}).encode()


def connect(request, headers):
    user = user_of(headers)
    if user is None:
        raise Refusal({"disconnect": {"code": 4501, "reason": "not logged in"}})  # 4500 and above: the client does not try again
    return {"user": user, "expire_at": expiry(), "info": info_of(user)}


def refresh(request, headers):
    if request["user"] not in sessions.values():
        return {"expired": True}
    return {"expire_at": expiry()}


def subscribe(request, headers):
    if request["user"] not in members.get(request["channel"], ()):
        raise error(403, "not a member")
    return {"expire_at": expiry()}


def sub_refresh(request, headers):
    if request["user"] not in members.get(request["channel"], ()):
        return {"expired": True}
    return {"expire_at": expiry()}


def publish(request, headers):
    data = request.get("data")
    text = data.get("text") if isinstance(data, dict) else None
    if not isinstance(text, str) or not 0 < len(text.strip()) <= 200:
        raise error(400, "text must have 1 to 200 characters")
    return {"data": {"text": text.strip(), "from": request["user"]}}  # this is published instead


def rpc(request, headers):
    user, method, data = request["user"], request["method"], request.get("data")
    if method == "teams":
        return {"data": sorted(team for team, users in members.items() if user in users)}
    if method == "leave":
        members.get(data if isinstance(data, str) else "", set()).discard(user)
        return {"data": {}}
    if method == "logout":
        for session in [s for s, u in sessions.items() if u == user]:
            del sessions[session]
        return {"data": {}}
    raise error(404, "no such method")


EVENTS = {"connect": connect, "refresh": refresh, "subscribe": subscribe, "sub_refresh": sub_refresh, "publish": publish, "rpc": rpc}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open
    disable_nagle_algorithm = True

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path != "/token":
            return self.answer(404)
        with lock:
            status, body = token(parse_qs(url.query, keep_blank_values=True).get("channel", [None])[0], self.headers)
        self.answer(status, body)

    def do_POST(self):
        event = EVENTS.get(self.path.removeprefix("/centrifugo/"))
        length = self.headers.get("Content-Length", "")
        if not hmac.compare_digest(self.headers.get("X-Backend-Key", "").encode(), KEY.encode()):
            return self.answer(401)
        if event is None:
            return self.answer(404)
        if not length.isdigit() or int(length) > MAX_BODY:
            return self.answer(413)
        try:
            request = json.loads(self.rfile.read(int(length)))
            if not all(isinstance(request.get(name, ""), str) for name in ("user", "channel", "method")):
                return self.answer(400)
            with lock:
                answer = {"result": event(request, self.headers)}
        except Refusal as refusal:
            answer = refusal.args[0]
        except (ValueError, KeyError, AttributeError, RecursionError):
            return self.answer(400)
        print(event.__name__, request.get("user", ""), request.get("channel", request.get("method", "")), json.dumps(answer), flush=True)
        self.answer(200, json.dumps(answer).encode())

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", str(len(body)))
        if status != 200:
            self.send_header("Connection", "close")  # the body may not have been read
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128


server = Server(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 3000), Handler)
print("listening", flush=True)
server.serve_forever()
