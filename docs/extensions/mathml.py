"""Formulas as MathML, which browsers draw by themselves: no LaTeX to install, no script to fetch from a network."""

from docutils import nodes
from latex2mathml.converter import convert


def formula(latex: str) -> str:
    """A block of LaTeX as Sphinx writes it: parts between blank lines are lines of their own, `&` lines them up."""
    lines = ' \\\\ '.join(part.strip() for part in latex.split('\n\n') if part.strip())
    if '\\\\' in lines or '&' in lines:
        lines = rf'\begin{{split}}{lines}\end{{split}}'  # the one environment that the converter does not number
    return convert(lines, display='block')


def visit_inline(self, node: nodes.math) -> None:
    self.body.append(convert(node.astext()))
    raise nodes.SkipNode


def visit_block(self, node: nodes.math_block) -> None:
    self.body.append(f'<div class="formula">{formula(node.astext())}</div>\n')
    raise nodes.SkipNode


def setup(app) -> dict:
    app.add_html_math_renderer('mathml', inline_renderers=(visit_inline, None), block_renderers=(visit_block, None))
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
