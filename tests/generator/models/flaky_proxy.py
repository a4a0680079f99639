"""A proxy before a real server, which refuses some requests and keeps what it was asked."""

import json
import threading
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def flaky_proxy(target, refusals):
    """Yields the proxy's address and the requests it got, as (path, headers, body).

    Args:
        target: address of the real server, None to answer everything with an empty string.
        refusals: statuses to answer the first requests with, one each; the rest are forwarded.
    """
    waiting, asked, lock = list(refusals), [], threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            with lock:
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked.append((self.path, headers, json.loads(body)))
                status = waiting.pop(0) if waiting else None
            if status is not None:
                self.answer(status, b'{"error": {"message": "not now"}}')
            elif target is None:
                self.answer(200, b'""')
            else:
                request = urllib.request.Request(
                    target + self.path.removeprefix("/v1"),
                    data=body,
                    headers={"content-type": "application/json"},
                )
                with urllib.request.urlopen(request, timeout=60) as found:
                    self.answer(found.status, found.read())

        def answer(self, status, body):
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.send_header("retry-after-ms", "10")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
