"""A server of somebody else's that a test stands up: an identity provider, a collector."""

import http.server
import threading
from contextlib import contextmanager


@contextmanager
def answering(method, answer):
    """Serves what `answer(handler)` returns as a body; yields the server's URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *words):
            pass

    def handle(handler):
        body = answer(handler)
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(body)

    setattr(Handler, f"do_{method}", handle)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
