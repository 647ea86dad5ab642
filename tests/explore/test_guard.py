r"""What the server of the page refuses."""

import json
import os
import socket
import subprocess
import sys
import uuid
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from drin_pyg.explore.guard import LOOPBACK, bracketed, guards, is_loopback

get = partial(httpx.get, timeout=60)  # a busy machine
SERVE = [sys.executable, '-W', 'ignore', '-m', 'tests.explore.served']
SWAN = 'A white bird with a long neck swam on the lake.'


@contextmanager
def serving(run_folder, host, folder):
    """The page's first line, and what it asked of other machines, as a function."""
    asked = folder / 'asked'
    with subprocess.Popen([*SERVE, str(run_folder), host, str(asked)], stdout=subprocess.PIPE, text=True,
                          cwd=Path(__file__).parents[2], env={**os.environ, 'GRADIO_TEMP_DIR': str(folder)}) as server:
        line = server.stdout.readline()
        try:
            assert ': http://' in line, line
            yield line.rstrip('\n'), lambda: asked.read_text().split()
        finally:
            server.terminate()
            rest = server.stdout.read()
    assert 'Whoever can reach' not in rest


@pytest.fixture(scope='module')
def served(run_folder, tmp_path_factory):
    with serving(run_folder, LOOPBACK, tmp_path_factory.mktemp('served')) as (line, asked):
        assert line.startswith('half \\ud83d: ')
        yield line.split()[2], asked


def ask(address, name, data):
    """The answer to an event of the page, as JSON."""
    config = get(f'{address}config').json()
    event = next(d for d in config['dependencies'] if d['api_name'] == name)
    session = uuid.uuid4().hex
    answer = httpx.post(f'{address}gradio_api/queue/join', timeout=60, headers={'content-type': 'application/json'},
                        content=json.dumps({'data': data, 'fn_index': event['id'], 'session_hash': session}))
    assert answer.status_code == 200
    with httpx.stream('GET', f'{address}gradio_api/queue/data?session_hash={session}', timeout=60) as stream:
        return next(line for line in stream.iter_lines() if 'process_completed' in line).removeprefix('data: ')


@pytest.mark.parametrize('path', ['/etc/passwd', '../../../etc/passwd', 'http://192.0.2.1/x.png',
                                  'https://example.com/x.png'])
@pytest.mark.parametrize('place', ['image', 'sentence'])
def test_files_of_the_machine_and_of_others_are_not_read(served, path, place):
    address, asked = served
    file = {'path': path, 'orig_name': 'x.png', 'meta': {'_type': 'gradio.FileData'}}
    given = [SWAN, 'bird', file, None] if place == 'image' else [file, 'bird', None, None]
    answer = ask(address, 'link', given)
    assert json.loads(answer)['success'] is False
    assert 'root:' not in answer
    if '://' in path:
        assert json.loads(answer)['output']['error'] == 'Files are uploaded here, not fetched from an address'
    for route in ('file=', 'file/'):
        assert get(f'{address}gradio_api/{route}{path}').status_code in (403, 404)
    assert asked() == []


@pytest.mark.parametrize('headers', [
    {}, {'Host': 'localhost:1'}, {'Host': '[::1]:7860'}, {'Host': LOOPBACK}, {'Origin': 'own'},
    {'Host': 'localhost:9', 'Origin': 'http://localhost:9'}])
def test_its_own_pages_are_answered(served, headers):
    address = served[0]
    headers = {name: value.replace('own', address.rstrip('/')) for name, value in headers.items()}
    assert get(address, headers=headers).status_code == 200
    assert upload(address, headers).status_code == 200


@pytest.mark.parametrize(('headers', 'status'), [
    ({'Host': 'example.com'}, 400), ({'Host': 'localhost.example.com:7860'}, 400), ({'Host': ''}, 400),
    ({'Host': 'example.com', 'Origin': 'http://example.com'}, 400),
    ({'Origin': 'http://example.com'}, 403), ({'Origin': 'null'}, 403), ({'Origin': f'http://{LOOPBACK}:1'}, 403)])
def test_other_sites_are_refused(served, headers, status):
    address = served[0]
    assert get(f'{address}config', headers=headers).status_code == status
    assert upload(address, headers).status_code == status


def upload(address, headers):
    return httpx.post(f'{address}gradio_api/upload', files={'files': ('a.png', b'x')}, headers=headers, timeout=60)


def test_halves_of_surrogate_pairs_are_shown_escaped(served):
    address = served[0]
    assert get(f'{address}config').json()['title'].startswith('half \\ud83d ')
    answer = json.loads(ask(address, 'any_row', []))
    assert answer['success'] is True
    sentence, mention, _, start, *_, cards, _ = answer['output']['data']
    assert sentence.startswith('\\ud83d ')
    assert start is None or sentence[start:start + len(mention)].casefold() == mention.casefold()
    assert ' \\ud83d</' in cards
    # Nor does the text of a visitor stop anything.
    assert json.loads(ask(address, 'link', ['A \ud83d bird', '\ud83d', None, None]))['success'] is True


@pytest.mark.parametrize(('host', 'own'), [
    (LOOPBACK, True), ('127.0.0.2', True), ('localhost', True), ('LOCALHOST', True), ('::1', True), ('[::1]', True),
    ('0.0.0.0', False), ('::', False), ('192.0.2.1', False), ('example.com', False), ('', False)])
def test_loopback(host, own):
    assert is_loopback(host) is own
    assert len(guards(host)) == (3 if own else 1)  # an address is never fetched


@pytest.mark.parametrize(('host', 'written'), [('::1', '[::1]'), ('[::1]', '[::1]'), (LOOPBACK, LOOPBACK)])
def test_ipv6_is_written_in_brackets(host, written):
    assert bracketed(host) == written


@pytest.mark.parametrize('host', ['::1', '127.0.0.2'])
def test_other_addresses_of_loopback(run_folder, host, tmp_path):
    try:
        socket.create_server((host, 0), family=socket.AF_INET6 if ':' in host else socket.AF_INET).close()
    except OSError:
        pytest.skip(f'this machine has no {host}')
    with serving(run_folder, host, tmp_path) as (line, _):
        address = line.split()[2]
        assert address.startswith(f'http://{bracketed(host)}:')
        assert get(address).status_code == 200
        assert upload(address, {'Origin': address.rstrip('/')}).status_code == 200
        assert upload(address, {'Origin': 'http://example.com'}).status_code == 403
        assert get(address, headers={'Host': 'example.com'}).status_code == 400
