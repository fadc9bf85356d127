"""Serves Git LFS by giftless, a server that is not ours, on a port of 127.0.0.1: serve_giftless.py PORT FOLDER."""

import json
import os
import pathlib
import sys

port, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
# JSON is YAML.
configuration = {
    "AUTH_PROVIDERS": ["giftless.auth.allow_anon:read_write"],
    "TRANSFER_ADAPTERS": {
        "basic": {
            "factory": "giftless.transfer.basic_streaming:factory",
            "options": {
                "storage_class": "giftless.storage.local_storage:LocalStorage",
                "storage_options": {"path": str(folder / "contents")},
            },
        }
    },
    "PRE_AUTHORIZED_ACTION_PROVIDER": {
        "factory": "giftless.auth.jwt:factory",
        "options": {"algorithm": "HS256", "private_key": "0123456789abcdef0123456789abcdef"},
    },
}
file = folder / "giftless.yaml"
file.write_text(json.dumps(configuration))
os.environ["GIFTLESS_CONFIG_FILE"] = str(file)

from giftless.app import init_app  # noqa: E402 - it reads its configuration when it is imported
from waitress import serve  # noqa: E402

# Requests that come first make it race with itself.
(folder / "contents/acme/site").mkdir(parents=True)
serve(init_app(), host="127.0.0.1", port=port)
