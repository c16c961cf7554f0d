"""A queue service with the parts of Azure Service Bus that a consumer uses, on AMQP 1.0.

usage: broker.py PORT FILE LOCK_SECONDS

It keeps messages in the file, so it can be killed and started again. It prints a line when it
listens.
Queues exist once they are named; those whose name begins with "sessions" have sessions.

 - $cbs takes tokens and checks the signature of each with the key "secret" of "test".
 - Messages are locked while they are in work; a lock that expires makes the message
   available again. A message that was sent twice with the same id is kept once.
 - A session is locked by a link, until the link ends or the lock expires.
 - QUEUE/$management renews locks and shows messages without locking them.
"""

import base64
import hashlib
import hmac
import os
import socket
import sqlite3
import sys
import time
import urllib.parse

from proton import (Array, Condition, Data, Delivery, Described, Message, Terminus, UNDESCRIBED, int32, symbol, timestamp)
from proton import Handler
from proton.reactor import Container

SESSION_FILTER = symbol("com.microsoft:session-filter")
SESSION_FILTER_CODE = 0x00000137000000C
CREDIT = 1000


def sockets():
    """The sockets of this process: the library does not tell them."""
    for fd in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(fd))) as found:
                yield found
        except OSError:
            pass  # no socket, or closed


def milliseconds(seconds):
    return timestamp(int(seconds * 1000))


class Entry:
    """A message of a queue."""

    def __init__(self, number, queue, session, deliveries, encoded):
        self.number, self.queue, self.session, self.deliveries, self.encoded = number, queue, session, deliveries, encoded
        self.until, self.link = 0, None  # its lock


class Session:
    """The lock of a session."""

    def __init__(self, link, until):
        self.link, self.until = link, until


class Store:
    """Messages of all queues, by number: in the order in which they were sent. They are in memory and in a file."""

    def __init__(self, path):
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=OFF")  # a killed process loses nothing, a killed machine may
        self.db.execute("CREATE TABLE IF NOT EXISTS messages (number INTEGER PRIMARY KEY AUTOINCREMENT, queue, session, deliveries, encoded)")
        self.db.execute("CREATE TABLE IF NOT EXISTS ids (queue, id, PRIMARY KEY (queue, id))")
        self.queues = {}
        self.entries = {}
        for row in self.db.execute("SELECT * FROM messages ORDER BY number"):
            self.keep(Entry(*row))

    def keep(self, entry):
        self.entries[entry.number] = entry
        self.queues.setdefault(entry.queue, {})[entry.number] = entry

    def add(self, queue, message):
        self.db.execute("BEGIN")
        if self.db.execute("INSERT OR IGNORE INTO ids VALUES (?, ?)", (queue, str(message.id))).rowcount:
            row = (queue, message.group_id, 0, message.encode())
            number = self.db.execute("INSERT INTO messages (queue, session, deliveries, encoded) VALUES (?, ?, ?, ?)", row).lastrowid
            self.keep(Entry(number, *row))
        self.db.execute("COMMIT")

    def remove(self, entry):
        del self.entries[entry.number], self.queues[entry.queue][entry.number]
        self.db.execute("DELETE FROM messages WHERE number = ?", (entry.number,))

    def of(self, queue):
        return self.queues.get(queue, {}).values()


class Broker(Handler):
    def __init__(self, port, store, lock):
        super().__init__()
        self.port, self.store, self.lock = port, store, lock
        self.consumers = []  # links that receive messages of a queue
        self.replies = {}  # link that receives replies, by connection and address
        self.waiting = []  # (link, queue, deadline) that wait for a session
        self.locked = {}  # entries that are locked, by number
        self.sessions = {}  # (queue, session) -> Session
        self.admitted = {}  # connection -> audiences

    # Connections.

    def on_reactor_init(self, event):
        event.container.listen("127.0.0.1:%d" % self.port)
        print("listening", flush=True)
        event.reactor.schedule(0.1, self)

    def on_timer_task(self, event):
        now = time.time()
        for entry in [e for e in self.locked.values() if e.until < now]:
            self.unlock(entry)
        for session in [s for s in self.sessions.values() if s.until < now]:
            session.link.condition = Condition("com.microsoft:session-lock-lost", "the lock of the session has expired")
            session.link.close()
            self.end(session.link)
        for entry in list(self.waiting):
            if entry[2] < now:
                self.waiting.remove(entry)
                self.refuse(entry[0], "com.microsoft:timeout", "no session has messages")
        self.deliver()
        event.reactor.schedule(0.1, self)

    def on_connection_remote_open(self, event):
        for one in sockets():
            if one.family == socket.AF_INET:
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        event.connection.open()

    def on_session_remote_open(self, event):
        event.session.open()

    def on_session_remote_close(self, event):
        event.session.close()

    def on_connection_remote_close(self, event):
        event.connection.close()

    def on_transport_closed(self, event):
        connection = event.connection
        self.admitted.pop(connection, None)
        for link in [l for l in self.consumers if l.connection == connection]:
            self.end(link)
        self.waiting = [w for w in self.waiting if w[0].connection != connection]
        self.replies = {key: l for key, l in self.replies.items() if l.connection != connection}

    # Links.

    def on_link_remote_open(self, event):
        link = event.link
        link.source.copy(link.remote_source)
        link.target.copy(link.remote_target)
        link.snd_settle_mode, link.rcv_settle_mode = link.remote_snd_settle_mode, link.remote_rcv_settle_mode
        if link.is_receiver:
            link.open()
            link.flow(CREDIT)
            return
        address = link.remote_source.address
        if address.endswith("$cbs") or address.endswith("$management"):
            self.replies[link.connection, link.remote_target.address] = link
            link.open()
        elif not self.may(link.connection, address):
            self.refuse(link, "amqp:unauthorized-access", "no token for " + address)
        elif address.startswith("all/"):
            link.open()
        elif address.startswith("sessions"):
            self.want_session(link, address)
        else:
            self.consumers.append(link)
            link.open()
            self.deliver()

    def want_session(self, link, queue):
        wanted = link.remote_source.filter
        if not wanted.next() or SESSION_FILTER not in wanted.get_object():
            self.refuse(link, "amqp:not-allowed", queue + " has sessions")
            return
        properties = {}
        if link.remote_properties is not None:
            properties = link.remote_properties
        timeout = int(properties.get(symbol("com.microsoft:timeout"), 60_000)) / 1000
        self.waiting.append((link, queue, time.time() + timeout))
        self.deliver()

    def give_sessions(self):
        for entry in list(self.waiting):
            link, queue, _ = entry
            for session in (e.session for e in self.store.of(queue)):
                if session is None or (queue, session) in self.sessions:
                    continue
                self.waiting.remove(entry)
                self.sessions[queue, session] = Session(link, time.time() + self.lock)
                link.source.filter.clear()
                link.source.filter.put_object({SESSION_FILTER: Described(SESSION_FILTER_CODE, session)})
                self.consumers.append(link)
                link.open()
                break

    def refuse(self, link, condition, description):
        link.source.type = Terminus.UNSPECIFIED  # the answer to an attach that fails
        link.open()
        link.condition = Condition(condition, description)
        link.close()

    def on_link_remote_close(self, event):
        self.end(event.link)
        event.link.close()

    on_link_remote_detach = on_link_remote_close

    def end(self, link):
        """Forgets a link. Its session is free, its messages stay locked unless they are of the session."""
        if link in self.consumers:
            self.consumers.remove(link)
        self.waiting = [w for w in self.waiting if w[0] != link]
        owned = [key for key, session in self.sessions.items() if session.link == link]
        for key in owned:
            del self.sessions[key]
        for entry in [e for e in self.locked.values() if owned and e.link == link]:
            self.unlock(entry)
        self.deliver()

    def on_link_flow(self, event):
        self.deliver()

    # Messages.

    def deliver(self):
        self.give_sessions()
        owners = {session.link: name for (_, name), session in self.sessions.items()}
        for link in list(self.consumers):
            session = owners.get(link)
            for entry in self.store.of(link.remote_source.address):
                if not link.credit:
                    break
                if entry.link is None and (session is None or session == entry.session):
                    self.send(link, entry)

    def send(self, link, entry):
        entry.until, entry.link = time.time() + self.lock, link
        self.locked[entry.number] = entry
        message = Message()
        message.decode(entry.encoded)
        message.delivery_count = entry.deliveries
        message.annotations = {symbol("x-opt-sequence-number"): entry.number, symbol("x-opt-locked-until"): milliseconds(entry.until)}
        link.send(message, tag="%016d" % entry.number)

    def unlock(self, entry, delivered=True):
        del self.locked[entry.number]
        entry.link = None
        entry.deliveries += delivered

    def on_delivery(self, event):
        delivery, link = event.delivery, event.link
        if link.is_receiver:
            if delivery.readable and not delivery.partial:
                self.receive(link, delivery)
        elif delivery.updated and delivery.remote_state:
            self.settle(int(delivery.tag), delivery.remote_state)
            delivery.update(delivery.remote_state)
            delivery.settle()
            self.deliver()

    def settle(self, number, state):
        entry = self.locked.get(number)
        if entry is None:
            return  # its lock has expired
        self.unlock(entry, state != Delivery.RELEASED)
        if state in (Delivery.ACCEPTED, Delivery.REJECTED):
            self.store.remove(entry)

    def receive(self, link, delivery):
        message = Message()
        message.decode(link.recv(delivery.pending))
        link.advance()
        address = link.remote_target.address
        if address.endswith("$cbs"):
            self.reply(link, message, *self.admit(link.connection, message))
        elif address.endswith("$management"):
            self.reply(link, message, *self.manage(address.rsplit("/", 1)[0], message))
        else:
            self.store.add(address, message)
        delivery.update(Delivery.ACCEPTED)
        delivery.settle()
        link.flow(1)
        self.deliver()

    def reply(self, link, request, code, body=None):
        to = self.replies.get((link.connection, request.reply_to))
        if to is None:
            return
        properties = {"status-code": int32(code), "statusCode": int32(code), "status-description": "", "statusDescription": ""}
        answer = Message(body=body, correlation_id=request.id, properties=properties)
        to.send(answer).settle()

    def admit(self, connection, request):
        """Takes a shared access signature: a MAC of the resource and the expiry."""
        audience = request.properties["name"]
        fields = dict(urllib.parse.parse_qsl(request.body.removeprefix("SharedAccessSignature ")))
        signed = "%s\n%s" % (urllib.parse.quote_plus(fields.get("sr", "")).lower(), fields.get("se", ""))
        exact = "%s\n%s" % (urllib.parse.quote_plus(fields.get("sr", "")), fields.get("se", ""))
        want = [base64.b64encode(hmac.new(b"secret", text.encode(), hashlib.sha256).digest()).decode() for text in (signed, exact)]
        if fields.get("skn") != "test" or fields.get("sig") not in want:
            return (401,)
        self.admitted.setdefault(connection, set()).add(urllib.parse.urlparse(audience).path.strip("/"))
        return (202,)

    def may(self, connection, address):
        return address in self.admitted.get(connection, ())

    def manage(self, queue, request):
        operation, body = request.properties["operation"], request.body
        until = time.time() + self.lock
        if operation == "com.microsoft:renew-lock":
            numbers = [int(token.bytes) for token in body["lock-tokens"]]
            if any(number not in self.locked for number in numbers):
                return (410,)
            for number in numbers:
                self.locked[number].until = until
            return 200, {"expirations": Array(UNDESCRIBED, Data.TIMESTAMP, *[milliseconds(until)] * len(numbers))}
        if operation == "com.microsoft:renew-session-lock":
            session = self.sessions.get((queue, body["session-id"]))
            if session is None:
                return (410,)
            session.until = until
            for entry in self.locked.values():
                if entry.link == session.link:
                    entry.until = until
            return 200, {"expiration": milliseconds(until)}
        if operation == "com.microsoft:peek-message":
            found = [e for e in self.store.of(queue.removeprefix("all/")) if e.number >= int(body["from-sequence-number"])][: int(body["message-count"])]
            if not found:
                return (204,)
            return 200, {"messages": [{"message": self.shown(entry)} for entry in found]}
        return (501,)

    @staticmethod
    def shown(entry):
        message = Message()
        message.decode(entry.encoded)
        message.annotations = {symbol("x-opt-sequence-number"): entry.number}
        return message.encode()


if __name__ == "__main__":
    Container(Broker(int(sys.argv[1]), Store(sys.argv[2]), float(sys.argv[3]))).run()
