r"""What the server of the page refuses: to fetch an address for a visitor, and requests that other sites send."""

import ipaddress
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import gradio as gr
    from starlette.middleware import Middleware
    from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = '127.0.0.1'
HERE = (LOOPBACK, 'localhost', '[::1]')  # this computer, as browsers write it
ADDRESS = '://'                          # in no path of a file, and in none of the page


def is_loopback(host: str) -> bool:
    r"""Whether an address to listen on can be reached from this computer only."""
    try:
        return host.lower() == 'localhost' or ipaddress.ip_address(host.strip('[]')).is_loopback
    except ValueError:
        return False


def bracketed(host: str) -> str:
    r"""A host as it is written in an address: IPv6 in brackets."""
    return f'[{host}]' if ':' in host and not host.startswith('[') else host


def fetch_nothing(page: 'gr.Blocks') -> None:
    r"""Has all components of a page refuse an address in the place of an uploaded file.

    Gradio downloads what such a one leads to, whatever its size and whatever the component, before the component sees
    it, and has no setting against that.

    Args:
        page: The page, whole.
    """
    from gradio import Error

    def guarded(move: Callable) -> Callable:
        async def moved(path):
            if path is not None and ADDRESS in str(path):
                raise Error('Files are uploaded here, not fetched from an address', print_exception=False,
                            title='Cannot do that')
            return await move(path)
        return moved

    for block in page.blocks.values():
        block.async_move_resource_to_block_cache = guarded(block.async_move_resource_to_block_cache)


def guards(host: str) -> list['Middleware']:
    r"""Middleware for the server of the page.

    Args:
        host: The address that it listens on. On loopback, only pages of its own may ask it: the browser of whoever
            runs it can reach it, and so can any site that is open there.
    """
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    found = [Middleware(refuse, when=names_address)]
    if is_loopback(host):
        # A site whose name was made to lead here (DNS rebinding) is told by that name.
        hosts = [*HERE, bracketed(host).lower()]
        found += [Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False),
                  Middleware(refuse, when=from_elsewhere)]
    return found


def refuse(app: 'ASGIApp', when: Callable[[str, dict[bytes, bytes]], bool]) -> 'ASGIApp':
    r"""An application that refuses requests.

    Args:
        app: What answers the others.
        when: Whether to refuse one, by its path and headers.
    """
    from starlette.responses import PlainTextResponse

    async def guarded(scope: 'Scope', receive: 'Receive', send: 'Send') -> None:
        refused = scope['type'] != 'lifespan' and when(scope['path'], dict(scope['headers']))
        await (PlainTextResponse('Refused', 403) if refused else app)(scope, receive, send)
    return guarded


def names_address(path: str, headers: dict[bytes, bytes]) -> bool:
    r"""Whether a request is for an address: Gradio would fetch and hand out what ``file=https://...`` leads to."""
    return ADDRESS in path


def from_elsewhere(path: str, headers: dict[bytes, bytes]) -> bool:
    r"""Whether a page of another origin sent a request. Browsers name the origin wherever it could do harm; what is no
    browser names none."""
    origin = headers.get(b'origin')
    return origin is not None and origin.partition(b'://')[2].lower() != headers.get(b'host', b'').lower()
