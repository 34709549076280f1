"""Small models as config files, and tools run in this process."""

from mmengine.config import Config

from ..helpers.tool_runs import run_here


def write_config(path, model, scope=None, **entries):
    """A config file of one model, as a user would have it.

    Its images are small, so that costs are counted quickly.
    """
    scope = scope or model.get('_scope_')
    entries = {'test_pipeline': [dict(type='Resize', scale=64)], **entries}
    path.parent.mkdir(parents=True, exist_ok=True)
    Config(dict(default_scope=scope, model=model, **entries)).dump(path)
    return path


def run_tool(capsys, name, *args):
    """Run ``tools/<name>.py``; return what it printed, without warnings."""
    run_here(name, *args)
    return capsys.readouterr().out


def row(text, first):
    """Cells of the table row that begins with ``first``."""
    for line in text.splitlines():
        cells = line.split('  ')
        cells = [cell.strip() for cell in cells if cell.strip()]
        if cells and cells[0] == first:
            return cells
    raise AssertionError(f'no row begins with {first!r}:\n{text}')
