r"""The page in a real browser: Chromium, driven by Playwright. ``DRIN_PYG_BROWSER`` names another than the first found;
where the variable is set, a browser that is missing is a failure."""

import os
import shutil
import socket
import subprocess
import sys

import httpx
import pytest

from drin_pyg.cli.explore import explore
from drin_pyg.explore import Explorer
from drin_pyg.explore.guard import LOOPBACK
from drin_pyg.files import write_record
from drin_pyg.linking import calibrate
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
