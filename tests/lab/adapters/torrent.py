"""Makes a torrent (version 1) of one file: torrent.py FILE ANNOUNCE OUTPUT"""

import os
import sys

import libtorrent as lt

film, announce, output = sys.argv[1:]
files = lt.file_storage()
files.add_file(os.path.basename(film), os.path.getsize(film))
# The binding has no name for `create_torrent::v1_only`; rqbit reads version 1 alone.
torrent = lt.create_torrent(files, 256 * 1024, 64)
torrent.add_tracker(announce)
lt.set_piece_hashes(torrent, os.path.dirname(film))
with open(output + ".part", "wb") as out:
    out.write(lt.bencode(torrent.generate()))
with open(output + ".hash", "w") as out:
    out.write(str(lt.torrent_info(output + ".part").info_hashes().v1) + "\n")
os.rename(output + ".part", output)
