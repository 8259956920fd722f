"""One end of a plain libtorrent transfer: libtorrent_bulk.py seed|get ADDRESS PORT TORRENT FOLDER [PEER PORT]

`seed` gives the film in FOLDER and says when it listens. `get` fetches it from that peer alone, leaves when it is
written, and checks nothing twice.
"""

import os
import sys

import libtorrent as lt

MODE, ADDRESS, PORT, TORRENT, FOLDER = sys.argv[1:6]

session = lt.session({
    "listen_interfaces": f"{ADDRESS}:{PORT}",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    # TCP, as the others have it.
    "enable_outgoing_utp": False,
    "enable_incoming_utp": False,
    "allow_multiple_connections_per_ip": True,
    "alert_mask": lt.alert.category_t.status_notification | lt.alert.category_t.storage_notification
    | lt.alert.category_t.error_notification,
})
# Told by a pipe: `wait_for_alert` looks at an alert that may move meanwhile, and has crashed here.
told, tell = os.pipe()
session.set_alert_fd(tell)

params = lt.add_torrent_params()
params.ti = lt.torrent_info(TORRENT)
params.save_path = FOLDER
params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
if MODE == "seed":
    params.flags |= lt.torrent_flags.seed_mode


def until(kinds):
    """Waits for an alert of one of these kinds; any error ends the program."""
    while True:
        os.read(told, 4096)
        for alert in session.pop_alerts():
            if isinstance(alert, (lt.listen_failed_alert, lt.torrent_error_alert, lt.file_error_alert)):
                sys.exit(alert.message())
            if isinstance(alert, kinds):
                return


if MODE == "seed":
    until(lt.listen_succeeded_alert)
    session.add_torrent(params)
    until(lt.torrent_finished_alert)
    print("ready seeding", flush=True)
    until(())
else:
    handle = session.add_torrent(params)
    handle.connect_peer((sys.argv[6], int(sys.argv[7])))
    until(lt.torrent_finished_alert)
    handle.flush_cache()
    until(lt.cache_flushed_alert)
