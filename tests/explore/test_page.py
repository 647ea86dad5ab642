r"""The page in a real browser: Chromium, driven by Playwright. ``DRIN_PYG_BROWSER`` names another than the first found;
where the variable is set, a browser that is missing is a failure."""

import asyncio
import html
import os
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import httpx
import pytest

from drin_pyg.cli.explore import explore
from drin_pyg.datasets import Picture
from drin_pyg.explore import Explorer, launch, make_page
from drin_pyg.explore.guard import LOOPBACK
from drin_pyg.files import write_record
from drin_pyg.linking import Linker, calibrate
from drin_pyg.training import load_run
from drin_pyg.training.run import RUN

BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
SWAN = 'A white bird with a long neck swam on the lake.'
EXPLORE = [sys.executable, '-W', 'ignore', '-m', 'drin_pyg', 'explore']
PATIENCE = 120_000  # milliseconds to wait for anything, on a busy machine


@pytest.fixture(scope='module')
def address(run_folder, tmp_path_factory):
    """The command as a user runs it, in a process of its own, on a run that is calibrated."""
    folder = tmp_path_factory.mktemp('explored') / 'a run'
    shutil.copytree(run_folder, folder)
    recipe, model, data = load_run(folder)
    calibrate(model, data, recipe, folder)
    uploads = tmp_path_factory.mktemp('uploads')
    with subprocess.Popen([*EXPLORE, str(folder), '-q'], stdout=subprocess.PIPE, text=True,
                          env={**os.environ, 'GRADIO_TEMP_DIR': str(uploads)}) as server:
        try:
            line = server.stdout.readline()
            assert line.startswith('EmojiMEL: http://'), line
            yield line.split()[1]
        finally:
            server.terminate()


@pytest.fixture(scope='module')
def chromium():
    name = os.environ.get('DRIN_PYG_BROWSER')
    path = shutil.which(name) if name else next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        if name:
            pytest.fail(f"There is no browser '{name}'")
        pytest.skip('Chromium is not installed')
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=['--no-sandbox', '--disable-gpu'],
                                              timeout=PATIENCE)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, address):
    context = chromium.new_context(viewport={'width': 1280, 'height': 900})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.outside, page.errors = [], []
    page.on('request', lambda request: None if request.url.startswith((address, 'data:', 'blob:'))
            else page.outside.append(request.url))
    page.on('pageerror', lambda error: page.errors.append(str(error)))
    page.goto(address)
    page.wait_for_selector('.ex-cards button')  # a mention of the data is opened first
    yield page
    assert page.outside == []  # nothing is asked of any other machine
    assert page.errors == []
    context.close()


def type_mention(page, sentence, mention):
    page.fill('#sentence textarea', sentence)
    page.fill('#mention :is(input, textarea)', mention)


def upload(page, path):
    page.click('#image button[aria-label="Remove Image"]')
    with page.expect_response(lambda response: '/upload' in response.url):
        page.set_input_files('#image input[type=file]', path)
    page.wait_for_selector(f'#image img[src*="{path.stem}"]', state='attached')


def linked(page, mention='bird'):
    """Waits for the new result about a mention, and returns the name of the entity that is ranked first."""
    for place in ('#graph h3', '.ex-verdict'):
        page.eval_on_selector(place, "shown => shown.dataset.old = 1")
    page.click('#go')
    page.wait_for_selector('.ex-verdict:not([data-old])')
    page.wait_for_function("words => document.querySelector('#graph h3:not([data-old])')?.innerText.startsWith('“' + "
                           "words)", arg=mention)
    return page.inner_text('.ex-verdict')


def toast(page):
    message = page.locator('.toast-body').first
    message.wait_for()
    return message.inner_text()


def test_type_upload_link_and_see(page, picture):
    type_mention(page, SWAN, 'bird')
    upload(page, picture)
    assert 'swan' in linked(page)
    assert 'swan' in page.locator('.ex-cards button').first.inner_text()
    assert page.locator('.ex-graphs figure').count() == 2  # entering the layer, and leaving it
    assert page.locator('.ex-graphs .ex-weight').count() == 8
    assert 'NIL' in page.inner_text('.ex-verdict')


def test_a_relation_slid_down_changes_the_ranking(page, picture):
    type_mention(page, SWAN, 'bird')
    upload(page, picture)
    linked(page)
    for relation in ('image_image', 'image_text'):
        page.eval_on_selector('.ex-verdict', "shown => shown.dataset.old = 1")
        page.fill(f'#strength-{relation} input[type=number]', '0')
        page.keyboard.press('Enter')
        page.wait_for_selector('.ex-verdict:not([data-old])')  # or the answer may come after what comes next
    page.wait_for_function("document.querySelector('.ex-verdict strong').innerText != 'swan'")
    page.locator('.ex-cards .ex-up').first.wait_for()
    page.click('#reset')
    page.wait_for_function("document.querySelector('.ex-verdict strong').innerText == 'swan'")


def test_another_candidate_is_looked_at(page):
    second = page.locator('.ex-cards button').nth(1)
    name = second.locator('.ex-name').inner_text()
    second.click()
    page.wait_for_function("name => document.querySelector('#graph h3 em').innerText == name", arg=name)
    page.wait_for_function("document.querySelectorAll('.ex-cards button')[1].getAttribute('aria-pressed') == 'true'")


def test_selected_words_are_the_mention(page):
    type_mention(page, SWAN, 'x')
    page.locator('#sentence textarea').focus()
    page.keyboard.press('Control+Home')
    for _ in range(len('A white ')):
        page.keyboard.press('ArrowRight')
    for _ in range(len('bird')):
        page.keyboard.press('Shift+ArrowRight')
    page.wait_for_function("document.querySelector('#mention :is(input, textarea)').value == 'bird'")


def test_the_place_of_selected_words_is_counted_in_characters(page):
    type_mention(page, '\N{SWAN}' * 10 + ' a bird, a bird', 'x')
    area = page.locator('#sentence textarea')
    # Each emoji is two units of JavaScript: the first of the two birds begins at unit 23, which is character 13.
    area.evaluate("area => { area.focus(); area.setSelectionRange(22, 28); }")
    page.keyboard.press('Shift+ArrowLeft')
    page.wait_for_function("document.querySelector('#mention :is(input, textarea)').value == 'bird'")
    page.wait_for_function("document.querySelector('#start input').value == '13'")
    linked(page)
    area.press('End')
    area.type(', no')  # the words may stand elsewhere now
    page.wait_for_function("document.querySelector('#start input').value == ''")


def test_mistakes_are_browsed_and_opened(page):
    page.get_by_role('tab', name='Mistakes').click()
    card = page.locator('.ex-mentions button').first
    card.wait_for()
    assert card.locator('.ex-who.is-wrong').count() == 1
    answer = card.locator('.ex-who.is-right .ex-name').inner_text()
    sentence = card.locator('.ex-said > span').last.inner_text().split('\n', 1)[1]
    card.click()
    page.wait_for_function("sentence => document.querySelector('#sentence textarea').value == sentence", arg=sentence)
    page.locator('.ex-cards .is-answer', has_text=answer).wait_for()


def test_pages_of_mentions(page):
    page.get_by_role('tab', name='Mistakes').click()
    page.locator('.ex-mentions button').first.wait_for()
    first = page.locator('.ex-mentions button').first.inner_text()
    page.click('#on')
    page.wait_for_function("document.querySelector('#count').innerText.includes('page 2 of')")
    page.wait_for_function("first => document.querySelector('.ex-mentions button').innerText != first", arg=first)
    page.fill('#words :is(input, textarea)', 'no such words anywhere')
    page.wait_for_function("document.querySelector('#listed').innerText.includes('There are none')")


def test_a_corrupt_upload_is_a_message(page, tmp_path):
    path = tmp_path / 'torn_picture.png'
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + b'\x00' * 200)
    type_mention(page, SWAN, 'bird')
    upload(page, path)
    page.click('#go')
    message = toast(page)
    assert 'torn_picture.png' in message
    assert 'Traceback' not in message


def test_an_empty_sentence_is_a_message(page):
    type_mention(page, '', 'bird')
    page.click('#go')
    assert 'The sentence is empty' in toast(page)


def test_hostile_text_is_shown_as_it_is(page):
    hostile = '<img src=x onerror="window.hit=1">${window.hit=2}{{constructor}}<script>window.hit=3</script>'
    type_mention(page, f'A {hostile} bird', hostile)
    linked(page, '<img src=x')
    assert hostile in page.inner_text('#graph h3')
    assert page.evaluate('window.hit') is None


@pytest.mark.parametrize('width', [390, 1280])
def test_nothing_is_wider_than_the_window(page, width):
    page.set_viewport_size({'width': width, 'height': 900})
    page.wait_for_function('width => document.documentElement.scrollWidth <= width', arg=width)
    page.get_by_role('tab', name='Mistakes').click()
    page.locator('.ex-mentions button').first.wait_for()
    page.wait_for_function('width => document.documentElement.scrollWidth <= width', arg=width)


@pytest.mark.parametrize(('source', 'title'), [
    ('emoji', 'EmojiMEL'), ('emoji:mention=twemoji', 'EmojiMEL'), ('/data/tables', 'a run')])
def test_the_page_is_called_after_the_packaged_data_or_the_run(tmp_path, monkeypatch, source, title):
    folder = tmp_path / 'a run'
    folder.mkdir()
    write_record(folder / RUN, {'data': source})
    titles = []
    monkeypatch.setattr(Explorer, 'from_pretrained', lambda *args: None)
    monkeypatch.setattr('drin_pyg.explore.launch', lambda explorer, title, **options: titles.append(title))
    explore(folder)
    assert titles == [title]


# The page without a browser: what it asks of the model, called in this process.

def in_a_loop(job):
    """What a job that makes a page returns. Where no loop is running, Gradio makes some and leaves them open. In a
    thread of its own, as Playwright has one running in this."""
    async def run():
        return job()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(run())).result()


def functions(explorer):
    """Name to what the page calls."""
    return {event.name: event.fn for event in in_a_loop(lambda: make_page(explorer)).fns.values()}


def complaint(match):
    """What the page shows as a message."""
    from gradio import Error

    return pytest.raises(Error, match=match)


def with_data(linker, **changes):
    return Explorer(Linker(linker.model, replace(linker.data, **changes)))


@pytest.fixture(scope='module')
def calls(linker):
    return functions(Explorer(linker))


def test_nothing_opened_shows_nothing(calls):
    assert calls['show'](None, 0, 1.0, 1.0, 1.0, 1.0) == ('', '')


@pytest.mark.parametrize(('sentence', 'mention'), [('x' * 20_001, 'x'), (SWAN, 'x' * 20_001)])
def test_a_text_that_is_too_long_is_a_message(calls, sentence, mention):
    with complaint('The text is longer than 20,000 letters; shorten it'):
        calls['link'](sentence, mention, None, None)


@pytest.mark.parametrize('pick', [-1, 10**9, '<b>', None, 1.0])
def test_picks_of_what_is_not_there_are_messages(calls, pick):
    event = SimpleNamespace(pick=pick)
    with complaint(f'There is no mention {html.escape(repr(pick))}'):
        calls['open_listed'](event)
    tabs, *shown = calls['open_listed'](SimpleNamespace(pick=0))
    opened = shown[4]
    assert tabs.selected == 'link'
    assert calls['pick'](SimpleNamespace(pick=1), opened, 1.0, 1.0, 1.0, 1.0)[0] == 1
    for place in (opened, None):
        with complaint('There is no such candidate'):
            calls['pick'](event, place, 1.0, 1.0, 1.0, 1.0)


def test_a_mention_is_opened_without_a_picture_that_is_gone(linker, tmp_path):
    row = next(row for row, mention in enumerate(linker.data.mentions) if mention.pictures)
    mentions = list(linker.data.mentions)
    seen = functions(Explorer(linker))['open_listed'](SimpleNamespace(pick=row))
    mentions[row] = replace(mentions[row], pictures=(Picture(tmp_path / 'gone.png'), ))
    blind = functions(with_data(linker, mentions=mentions))['open_listed'](SimpleNamespace(pick=row))
    assert seen[3] == linker.data.mentions[row].pictures[0].open()
    assert blind[3] is None
    assert blind[1:3] == seen[1:3] == (mentions[row].sentence, mentions[row].surface)


def test_data_without_answers_has_no_mention_to_begin_with(linker):
    calls = functions(with_data(linker, split={}))
    with complaint('The data has no mentions with an answer'):
        calls['any_row']()


@pytest.mark.parametrize(('host', 'block', 'warned'), [(LOOPBACK, False, False), ('0.0.0.0', True, True)])
def test_what_is_served_and_said(linker, monkeypatch, capsys, host, block, warned):
    served, waited = [], []

    def serve(page, **options):
        served.append(options)
        return None, f'http://{host}:7860/', None

    monkeypatch.setattr('gradio.Blocks.launch', serve)
    monkeypatch.setattr('gradio.Blocks.block_thread', lambda page: waited.append(page))
    page, address = in_a_loop(lambda: launch(Explorer(linker), '<run> \ud83d', host=host, block=block))
    assert page.title == r'<run> \ud83d · drin_pyg'
    assert address == f'http://{host}:7860/'
    assert waited == [page] * block
    options, = served
    assert (options['server_name'], options['share'], options['max_file_size']) == (host, False, '20mb')
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == rf'<run> \ud83d: {address} (stop with Ctrl+C)'
    assert rest == ['Whoever can reach this address can use the model and read the data.'] * warned


def test_a_missing_library_is_named(linker, monkeypatch):
    monkeypatch.setitem(sys.modules, 'gradio', None)
    for show in (make_page, launch):
        with pytest.raises(ImportError, match=r"not installed; run `pip install 'drin_pyg\[explore\]'`"):
            show(Explorer(linker))


# The page in a process of its own

def test_listens_on_this_computer_only(address):
    assert address.startswith(f'http://{LOOPBACK}:')
    port = int(address.rsplit(':', 1)[1].strip('/'))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # an address of this machine that is not loopback
        try:
            probe.connect(('192.0.2.1', 9))
            own = probe.getsockname()[0]
        except OSError:
            pytest.skip('this machine has no other address')
    with socket.socket() as client:
        client.settimeout(5)
        assert client.connect_ex((own, port)) != 0


def test_a_port_that_is_taken(address, run_folder):
    port = address.rsplit(':', 1)[1].strip('/')
    result = subprocess.run([*EXPLORE, str(run_folder), '--port', port, '-q'], capture_output=True, text=True,
                            timeout=300)
    assert result.returncode == 2
    assert result.stderr == f"drin-pyg: The page cannot listen on port {port} of '{LOOPBACK}'; name another port or " \
                            f"address\n"


def test_a_large_upload_is_refused(address):
    answer = httpx.post(f'{address}gradio_api/upload', files={'files': ('big.png', b'\0' * 21 * 2**20)}, timeout=60)
    assert answer.status_code == 413
