"""What a test about refusals shows first: a proxy that refuses everything would pass it otherwise."""

import contextlib
import secrets

from lab.exceptions import GuardFailed
from lab.peers import proxy_protocol
from lab.peers.flow import Flow
from lab.peers.hosts import TOKEN


@contextlib.contextmanager
def shown_before(what):
    """Raise GuardFailed, with what could not be shown, if a connection fails within."""
    try:
        yield
    except (ConnectionError, TimeoutError) as problem:
        raise GuardFailed(f"this could not be shown, so the test proves nothing: {what} ({problem})") from None


def must_serve_header(lab, version):
    """Show that a client whose PROXY header is right is served."""
    token = secrets.token_bytes(TOKEN)
    with shown_before(f"a client with a right PROXY header of {version} is served"):
        client = proxy_protocol.connect(lab, proxy_protocol.good(f"{version}-tcp4")[0].data, token)
        proxy_protocol.end(lab, Flow(lab, client, lab.server.take(token, client), token))
