"""The metadata service of an instance that demands version 2 (HttpTokens: required), with the credentials of a role.

Usage: python imds.py ADDRESS   on port 80; in a network namespace of a test's own
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "session-token-of-the-metadata-service"
ANSWERS = {
    "/latest/meta-data/iam/security-credentials/": "ghbk-role",
    "/latest/meta-data/iam/security-credentials/ghbk-role": json.dumps(
        {
            "Code": "Success",
            "Type": "AWS-HMAC",
            "AccessKeyId": "ASIATESTING",
            "SecretAccessKey": "testing",
            "Token": "testing",
            "LastUpdated": "2026-01-01T00:00:00Z",
            "Expiration": "2099-01-01T00:00:00Z",
        }
    ),
    "/latest/meta-data/placement/region": "us-east-1",
}


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-aws-ec2-metadata-token-ttl-seconds", "21600")
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        self.answer(200, TOKEN) if self.path == "/latest/api/token" else self.answer(404, "")

    def do_GET(self):
        if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            self.answer(401, "")
        else:
            text = ANSWERS.get(self.path)
            self.answer(404, "") if text is None else self.answer(200, text)


if __name__ == "__main__":
    ThreadingHTTPServer((sys.argv[1], 80), Handler).serve_forever()
