r"""The page: Gradio's components around an :class:`~drin_pyg.explore.Explorer`."""

import html
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drin_pyg.datasets import PictureError
from drin_pyg.demo.page_parts import relation_label
from drin_pyg.explore.explorer import Explorer
from drin_pyg.explore.guard import LOOPBACK, bracketed, fetch_nothing, guards, is_loopback
from drin_pyg.explore.records import Judged, Opened
from drin_pyg.explore.view import PAGE_SIZE, graph_html, mentions_html, ranking_html
from drin_pyg.files import utf8

if TYPE_CHECKING:
    import gradio as gr

MISSING = "The page is made with Gradio, which is not installed; run `pip install 'drin_pyg[explore]'`"
MAX_UPLOAD = '20mb'
MAX_LETTERS = 20_000  # of a sentence; the encoders read the beginning of a long one anyway
KEEP_UPLOADS = 3600   # seconds, as of what is looked at
KINDS = {
    'linked wrong': lambda judged: not judged.right and not judged.nil,
    'called NIL, but has an entity': lambda judged: not judged.right and bool(judged.nil),
    'right': lambda judged: judged.right,
    'all': lambda judged: True,
}
FONTS = ['-apple-system', 'Segoe UI', 'Inter', 'Roboto', 'Helvetica Neue', 'Liberation Sans', 'Arial', 'sans-serif']
PICK = """element.addEventListener('click', event => {
    const picked = event.target.closest('[data-pick]');
    if (picked) trigger('click', {pick: Number(picked.dataset.pick)});
})"""
# Selected words are the mention; a click that selects nothing changes nothing. JavaScript counts an emoji as two,
# Python as one.
MARK = """(mention, start) => {
    const area = document.querySelector('#sentence textarea');
    const words = area.value.substring(area.selectionStart, area.selectionEnd);
    if (!words.trim()) return [mention, start];
    const begin = area.selectionStart + words.length - words.trimStart().length;
    return [words.trim(), [...area.value.slice(0, begin)].length];
}"""


def make_page(explorer: Explorer, title: str = 'model') -> 'gr.Blocks':
    r"""The page of a trained model.

    Args:
        explorer: The model.
        title: What to call it.

    Raises:
        ImportError: If Gradio is not installed.
    """
    gr = _gradio()
    title = utf8(title)
    relations = explorer.relations
    data = explorer.data

    def show(opened: Opened | None, picked: int, *strengths: float) -> tuple[str, str]:
        if opened is None:
            return '', ''
        strength = dict(zip(relations, strengths, strict=True))
        ranking = explorer.rank(opened, strength)
        return ranking_html(ranking, picked), graph_html(ranking, picked, strength)

    def opening(opened: Opened) -> tuple:
        """What changes with the mention: itself, the candidate that is picked, the strengths and what they show."""
        ranking = explorer.rank(opened)
        picked = ranking.candidates[0].pair if ranking.candidates else 0
        return opened, picked, *[1.0] * len(relations), *show(opened, picked, *[1.0] * len(relations))

    def link(sentence: str | None, mention: str | None, image: tuple[str, str] | None, start: int | None) -> tuple:
        sentence, mention = utf8(sentence or ''), utf8(mention or '').strip()
        if len(sentence) > MAX_LETTERS or len(mention) > MAX_LETTERS:
            raise _error(f"The text is longer than {MAX_LETTERS:,} letters; shorten it")
        try:
            return opening(explorer.open(sentence, mention, None if image is None else image[0], start))
        except PictureError as error:  # the name that it has on the visitor's machine
            raise _error(f"The picture '{image[1]}' is {error.reason}; choose another, or link without one") from error
        except ValueError as error:
            raise _error(str(error)) from error

    def open_row(row: Any) -> tuple:
        if not isinstance(row, int) or not 0 <= row < len(data.mentions):
            raise _error(f"There is no mention {row!r:.40}")
        opened = explorer.open_row(row)
        mention = opened.mention
        try:
            image = mention.pictures[0].open() if mention.pictures else None
        except PictureError:
            image = None  # as it was for the model
        start = mention.span and len(utf8(mention.sentence[:mention.span[0]]))
        return utf8(mention.sentence), utf8(mention.surface), image, start, *opening(opened)

    def open_listed(event: gr.EventData) -> tuple:
        return gr.Tabs(selected='link'), *open_row(event.pick)

    def any_row() -> tuple:
        split = 'test' if 'test' in data.split else next(iter(data.split), None)
        if split is None:
            raise _error("The data has no mentions with an answer")
        return open_row(random.choice(data.split[split].tolist()))

    def pick(event: gr.EventData, opened: Opened | None, *strengths: float) -> tuple[int, str, str]:
        if opened is None or not isinstance(event.pick, int) or not 0 <= event.pick < opened.lists.num_pairs:
            raise _error("There is no such candidate")
        return event.pick, *show(opened, event.pick, *strengths)

    def browse(split: str, kind: str, words: str | None, page: int) -> tuple[str, str, int]:
        found = find(explorer, split, kind, words or '')
        last = max(0, (len(found) - 1) // PAGE_SIZE)
        page = min(max(int(page), 0), last)
        return mentions_html(found, data, page), f'{len(found):,} mentions, page {page + 1} of {last + 1}', page

    with gr.Blocks(title=f'{title} · drin_pyg', analytics_enabled=False,
                   delete_cache=(KEEP_UPLOADS, KEEP_UPLOADS)) as page:
        opened, picked, start = gr.State(), gr.State(0), gr.Number(precision=0, visible='hidden', elem_id='start')
        gr.HTML(f'<h1 class="ex-h1">{html.escape(title)}</h1><p class="ex-note">{len(data.entities):,} entities. Which '
                f'of them does a mention mean, judged by its text and its image?</p>')
        with gr.Tabs() as tabs:
            with gr.Tab('Link', id='link'), gr.Row():
                with gr.Column(scale=4, min_width=300):
                    sentence = gr.Textbox('', label='Sentence', lines=3, max_lines=8, elem_id='sentence',
                                          info='Select the words of the mention with the mouse, or type them below.')
                    mention = gr.Textbox('', label='Mention', max_lines=1, elem_id='mention')
                    image = gr.Image(label='Picture beside the text (optional)', height=190, elem_id='image',
                                     sources=['upload', 'clipboard'], format='png', buttons=[])
                    image.preprocess = _as_it_came
                    with gr.Row():
                        go = gr.Button('Link', variant='primary', elem_id='go')
                        another = gr.Button('One of the data', elem_id='another')
                    with gr.Group(elem_id='strengths'):
                        gr.HTML('<p class="ex-note ex-pad">How much each relation counts: slide one down and watch the '
                                'ranking. 0 switches it off.</p>')
                        sliders = [gr.Slider(0, 1, 1, step=0.05, label=relation_label(name), elem_id=f'strength-{name}')
                                   for name in relations]
                        reset = gr.Button('As trained', size='sm', elem_id='reset')
                with gr.Column(scale=8, min_width=300):
                    cards = gr.HTML(js_on_load=PICK, elem_id='cards')
                    graph = gr.HTML(elem_id='graph')
            with gr.Tab('Mistakes', id='mistakes'):
                with gr.Row():
                    names = list(data.split)
                    split = gr.Dropdown(names, value='test' if 'test' in names else next(iter(names), None),
                                        label='Split', elem_id='split')
                    kind = gr.Dropdown(list(KINDS), value=next(iter(KINDS)), label='Show', elem_id='kind')
                    words = gr.Textbox('', label='Words in sentence, mention or names', max_lines=1, elem_id='words')
                with gr.Row(elem_id='pager'):
                    back = gr.Button('◀', size='sm', min_width=60, elem_id='back')
                    count = gr.HTML(elem_id='count')
                    on = gr.Button('▶', size='sm', min_width=60, elem_id='on')
                number = gr.State(0)
                listed = gr.HTML(js_on_load=PICK, elem_id='listed')

        shown = [cards, graph]
        whole = [opened, picked, *sliders, *shown]
        record = [sentence, mention, image, start]
        quick = {'show_progress': 'hidden', 'trigger_mode': 'always_last'}
        page.load(any_row, None, [*record, *whole])
        another.click(any_row, None, [*record, *whole])
        sentence.select(None, [mention, start], [mention, start], js=MARK)
        gr.on([sentence.input, mention.input], None, None, start, js='() => null')  # the place is of what was there
        gr.on([go.click, mention.submit], link, record, whole)
        cards.click(pick, [opened, *sliders], [picked, *shown], **quick)
        gr.on([slider.input for slider in sliders], show, [opened, picked, *sliders], shown, **quick)
        reset.click(lambda opened, picked: (*[1.0] * len(relations), *show(opened, picked, *[1.0] * len(relations))),
                    [opened, picked], [*sliders, *shown])
        choice, result = [split, kind, words, number], [listed, count, number]
        gr.on([page.load, split.change, kind.change, words.change],
              lambda split, kind, words: browse(split, kind, words, 0), choice[:3], result, **quick)
        back.click(lambda *choice: browse(*choice[:3], choice[3] - 1), choice, result, **quick)
        on.click(lambda *choice: browse(*choice[:3], choice[3] + 1), choice, result, **quick)

        listed.click(open_listed, None, [tabs, *record, *whole])
    fetch_nothing(page)
    return page


def find(explorer: Explorer, split: str, kind: str, words: str = '') -> list[Judged]:
    r"""The mentions of a split that were judged so, the surest first.

    Args:
        explorer: The model.
        split: Name of the split.
        kind: One of ``KINDS``.
        words: Words that their sentence, their own words, or the names of the answer or the chosen entity hold.

    Raises:
        ValueError: If there is no such split.
        KeyError: If there is no such kind.
    """
    data = explorer.data

    def texts(judged: Judged) -> str:
        mention = data.mentions[judged.row]
        names = [data.entities[row].name for row in (judged.chosen, judged.answer) if row is not None]
        return ' '.join([mention.sentence, mention.surface, *names]).casefold()

    wanted = words.casefold().split()
    found = [judged for judged in explorer.judge(split) if KINDS[kind](judged)]
    if wanted:
        found = [judged for judged in found if all(word in text for text in [texts(judged)] for word in wanted)]
    # NaN, of a model whose scores have no known meaning, leaves the order as it is.
    return sorted(found, key=lambda judged: -judged.probability if judged.probability == judged.probability else 0.0)


def launch(
    explorer: Explorer,
    title: str = 'model',
    *,
    host: str = LOOPBACK,
    port: int | None = None,
    open_browser: bool = False,
    block: bool = True,
) -> tuple['gr.Blocks', str]:
    r"""Serves the page.

    Nothing is sent anywhere: no telemetry, no fonts or scripts from elsewhere, no public link, no address that a
    visitor names. Uploads are limited to 20 MB, read by :meth:`~drin_pyg.datasets.Picture.open` and deleted after an
    hour or two.

    Args:
        explorer: The model.
        title: What to call it.
        host: Address to listen on. The default can be reached from this computer only, and there by no
            page of another site; whoever can reach another can use the model and read the knowledge base
            and the mentions of the data.
        port: Port; None for the first free one from 7860.
        open_browser: Whether to open the page in the browser.
        block: Whether to return only when the server is stopped.

    Returns:
        The page, which is running if ``block`` is False, and its address.

    Raises:
        ImportError: If Gradio is not installed.
        OSError: If the address or the port cannot be used.
    """
    gr = _gradio()
    page = make_page(explorer, title).queue(max_size=64, default_concurrency_limit=1, api_open=False)
    theme = gr.themes.Base(primary_hue='blue', neutral_hue='stone', radius_size='lg', font=FONTS,
                           font_mono=['ui-monospace', 'Menlo', 'Consolas', 'monospace'])
    try:
        _, address, _ = page.launch(
            server_name=bracketed(host), server_port=port, app_kwargs={'middleware': guards(host)},
            inbrowser=open_browser, share=False, prevent_thread_lock=True, quiet=True, max_file_size=MAX_UPLOAD,
            footer_links=[], run_history=False, enable_monitoring=False, ssr_mode=False, mcp_server=False, pwa=False,
            show_error=False, theme=theme,
            css=(Path(__file__).parent / 'templates' / 'explore.css').read_text(encoding='utf-8'))
    except OSError as error:
        place = 'any port' if port is None else f'port {port}'
        raise OSError(f"The page cannot listen on {place} of '{host}'; name another port or address") from error
    print(f'{utf8(title)}: {address} (stop with Ctrl+C)', flush=True)
    if not is_loopback(host):
        print('Whoever can reach this address can use the model and read the data.', flush=True)
    if block:
        page.block_thread()
    return page, address


def _gradio():
    try:
        import gradio
    except ImportError as error:
        raise ImportError(MISSING) from error
    return gradio


def _as_it_came(payload) -> tuple[str, str] | None:
    """An uploaded file and the name it had. Gradio's own way opens it, and fails on one that is no picture."""
    return None if payload is None else (payload.path, payload.orig_name or 'picture')


def _error(message: str) -> Exception:
    """A message on the page. Gradio shows its text as HTML."""
    return _gradio().Error(html.escape(utf8(message)), print_exception=False, title='Cannot do that')
