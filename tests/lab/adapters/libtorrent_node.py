"""One libtorrent node: libtorrent_node.py seed|deadlines|sequential ADDRESS TORRENT FOLDER

A viewer's node serves the film at a local address with ranges. The torrent is added at the first request:
that is the click. `deadlines` follows libtorrent's docs/streaming.rst: the pieces from the playhead on get
rising deadlines. `sequential` downloads in order from the playhead on, and nothing before it.
"""

import http.server
import os
import sys
import threading
import time

import libtorrent as lt

MODE, ADDRESS, TORRENT, FOLDER = sys.argv[1:]
# So many pieces ahead of the playhead have deadlines: some three seconds' worth at 6 Mbit/s, which the
# library's author advises.
AHEAD_BYTES = 4 * 1024 * 1024

session = lt.session({
    "listen_interfaces": f"{ADDRESS}:6881",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "allow_multiple_connections_per_ip": True,
    "alert_mask": lt.alert.category_t.status_notification | lt.alert.category_t.storage_notification
    | lt.alert.category_t.tracker_notification | lt.alert.category_t.piece_progress_notification,
    "max_peerlist_size": 200,
    # Private addresses are the lab's networks, not a home's.
    "announce_to_all_trackers": True,
    "auto_manage_interval": 1,
})
info = lt.torrent_info(TORRENT)
# Told by a pipe: `wait_for_alert` looks at an alert that may move meanwhile, and has crashed here.
told, tell = os.pipe()
session.set_alert_fd(tell)


def alerts():
    """The alerts there are, once there are any."""
    os.read(told, 4096)
    return session.pop_alerts()



def add(seed):
    params = lt.add_torrent_params()
    params.ti = info
    params.save_path = FOLDER
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    if seed:
        params.flags |= lt.torrent_flags.seed_mode
    elif MODE == "sequential":
        params.flags |= lt.torrent_flags.sequential_download
    return session.add_torrent(params)


if MODE == "seed":
    handle = add(True)
    # Registered once the tracker has answered.
    until, registered = time.time() + 20, False
    while not registered:
        if time.time() > until:
            sys.exit("the tracker doesn't answer")
        registered = any(isinstance(alert, lt.tracker_reply_alert) for alert in alerts())
    print("ready seeding", flush=True)
    while True:
        alerts()


class Film:
    """The torrent as bytes that can be waited for."""

    def __init__(self):
        self.lock = threading.Condition()
        self.handle = None
        self.pieces = {}
        self.wanted = set()
        threading.Thread(target=self.follow, daemon=True).start()

    def open(self):
        with self.lock:
            if self.handle is None:
                self.handle = add(False)

    def follow(self):
        while True:
            for alert in alerts():
                if isinstance(alert, lt.read_piece_alert):
                    with self.lock:
                        self.wanted.discard(alert.piece)
                        if alert.buffer:
                            self.pieces[alert.piece] = bytes(alert.buffer)
                            while len(self.pieces) > 64:
                                self.pieces.pop(next(iter(self.pieces)))
                        self.lock.notify_all()
                elif isinstance(alert, lt.piece_finished_alert):
                    with self.lock:
                        self.lock.notify_all()

    def aim(self, piece):
        """The playhead is at this piece."""
        count = info.num_pieces()
        ahead = max(2, AHEAD_BYTES // info.piece_length())
        if MODE == "deadlines":
            for step in range(ahead):
                if piece + step < count:
                    self.handle.set_piece_deadline(piece + step, 150 * step)
        else:
            priorities = [0 if index < piece else 4 for index in range(count)]
            self.handle.prioritize_pieces(priorities)

    def read(self, offset, length, jumped):
        piece, start = divmod(offset, info.piece_length())
        if jumped:
            if MODE == "deadlines":
                self.handle.clear_piece_deadlines()
            self.aim(piece)
        elif MODE == "deadlines" and start == 0:
            self.aim(piece)
        with self.lock:
            while piece not in self.pieces:
                if self.handle.have_piece(piece) and piece not in self.wanted:
                    self.wanted.add(piece)
                    self.handle.read_piece(piece)
                self.lock.wait(0.25)
            return self.pieces[piece][start:start + length]


film = Film()
SIZE = info.total_size()


class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, body):
        film.open()
        first, last, status = 0, SIZE - 1, 200
        wanted = self.headers.get("Range", "")
        if wanted.startswith("bytes="):
            low, _, high = wanted[6:].partition("-")
            if low:
                first, last = int(low), min(int(high) if high else SIZE - 1, SIZE - 1)
            else:
                first = max(0, SIZE - int(high))
            status = 206
        self.send_response(status)
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{last}/{SIZE}")
        self.end_headers()
        at, jumped = first, True
        try:
            while body and at <= last:
                data = film.read(at, min(256 * 1024, last + 1 - at), jumped)
                jumped = False
                self.wfile.write(data)
                at += len(data)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
server.daemon_threads = True
print(f"ready http://127.0.0.1:{server.server_address[1]}/film.mp4", flush=True)
server.serve_forever()
