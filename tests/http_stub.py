"""A server of somebody else's that a test stands up: an identity provider, a model, a collector."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def answering(method, answer):
    """Serves what `answer(handler)` returns, a body or (status, headers, body); yields the URL."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *words):
            pass

    def handle(handler):
        found = answer(handler)
        status, headers, body = (200, {}, found) if isinstance(found, bytes) else found
        handler.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    setattr(Handler, f"do_{method}", handle)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def body_of(handler):
    """Returns the body of the request."""
    return handler.rfile.read(int(handler.headers["content-length"]))
