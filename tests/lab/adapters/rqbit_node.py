"""One rqbit node: rqbit_node.py seed|play PROGRAM ADDRESS TORRENT FOLDER

A viewer's node adds the torrent at the first request, which is the click, and redirects to rqbit's own
streaming address.
"""

import http.client
import http.server
import json
import os
import subprocess
import sys
import threading
import time

MODE, PROGRAM, ADDRESS, TORRENT, FOLDER = sys.argv[1:]
API = 3030

# RQBIT_* settings of this machine are not part of the lab.
environment = {name: value for name, value in os.environ.items() if not name.startswith("RQBIT_")}
daemon = subprocess.Popen(
    [PROGRAM, "--disable-dht", "--disable-lsd", "--disable-upnp-port-forward", "--ipv4-only",
     "--http-api-allow-create", "--http-api-listen-addr", f"127.0.0.1:{API}", "--listen-ip", ADDRESS,
     "-i", "5s", "server", "start", "--disable-persistence", FOLDER],
    env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr,
)


def ask(method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", API, timeout=60)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def up():
    until = time.time() + 30
    while time.time() < until:
        try:
            return ask("GET", "/")
        except OSError:
            # It says nothing when it listens, so it is asked until it answers.
            time.sleep(0.05)
    sys.exit("rqbit doesn't come up")


def add():
    with open(TORRENT, "rb") as torrent:
        status, answer = ask("POST", "/torrents?overwrite=true", torrent.read())
    if status != 200:
        sys.exit(f"rqbit doesn't take the torrent: {answer!r}")
    return json.loads(answer)["id"]


up()
if MODE == "seed":
    number = add()
    until = time.time() + 60
    while time.time() < until:
        stats = json.loads(ask("GET", f"/torrents/{number}/stats/v1")[1])
        if stats.get("finished"):
            break
        time.sleep(0.1)
    print("ready seeding", flush=True)
    daemon.wait()
    sys.exit(1)

lock = threading.Lock()
number = None


class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        global number
        with lock:
            if number is None:
                number = add()
        self.send_response(307)
        self.send_header("Location", f"http://127.0.0.1:{API}/torrents/{number}/stream/0/film.mp4")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
server.daemon_threads = True
print(f"ready http://127.0.0.1:{server.server_address[1]}/film.mp4", flush=True)
server.serve_forever()
